import type { Container } from "@isopod/api";
import type { ContainerLog } from "./container-log.ts";
import type { ContainerAttempt, ContainerRecord } from "./instance-record.ts";
import type { ContainerView } from "./pod-status.ts";

/** One container of a pod over all its attempts: what the record keeps, what the status shows, and its open log. */
export class ContainerSlot implements ContainerView {
  readonly container: Container;
  /** Its place among all containers of the pod, init containers first. */
  readonly index: number;
  readonly isInit: boolean;
  /** There are init containers before it. */
  isAfterInit = false;
  restartCount = 0;
  imageDigest = "";
  waiting: ContainerView["waiting"];
  current: ContainerAttempt | undefined;
  previous: ContainerAttempt | undefined;
  log: ContainerLog | undefined;
  /** Consecutive quick ends: what the back-off grows with. */
  crashes = 0;

  constructor(container: Container, index: number, isInit: boolean) {
    this.container = container;
    this.index = index;
    this.isInit = isInit;
  }

  get isSidecar(): boolean {
    return this.isInit && this.container.restartPolicy === "Always";
  }

  get isRunning(): boolean {
    return this.current !== undefined && this.current.exit === undefined;
  }

  /** As events name it. */
  get fieldPath(): string {
    return `spec.${this.isInit ? "initContainers" : "containers"}{${this.container.name}}`;
  }

  /** Notes how the current attempt ended; the first word counts. */
  end(exit: NonNullable<ContainerAttempt["exit"]>): void {
    if (this.current !== undefined && this.current.exit === undefined) this.current = { ...this.current, exit };
  }

  /** Shows why it does not run. */
  wait(reason: string, message?: string): void {
    this.waiting = { reason, ...(message === undefined ? {} : { message }) };
  }

  /** Shows that nothing is in its way. */
  waitForStart(): void {
    this.wait(this.isAfterInit ? "PodInitializing" : "ContainerCreating");
  }

  get record(): ContainerRecord {
    return {
      name: this.container.name,
      restartCount: this.restartCount,
      imageDigest: this.imageDigest,
      ...(this.current === undefined ? {} : { current: this.current }),
      ...(this.previous === undefined ? {} : { previous: this.previous }),
    };
  }

  restore(record: ContainerRecord): void {
    this.restartCount = record.restartCount;
    this.imageDigest = record.imageDigest;
    this.current = record.current;
    this.previous = record.previous;
    if (this.current !== undefined) this.waiting = undefined;
  }
}
