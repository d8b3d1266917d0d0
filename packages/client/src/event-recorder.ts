import { setTimeout as sleep } from "node:timers/promises";
import { type Event, isConflict, isForbidden, isNotFound, type KubeObject, resources } from "@isopod/api";
import { type Clock, describeError, type Logger } from "@isopod/base";
import type { KubeClient } from "./kube-client.ts";

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** As in `kubelet`, `default-scheduler`. */
  readonly component: string;
  readonly host?: string;
}

/** Messages are shown in tables; longer ones are cut. */
const maxMessageLength = 1024;
/** Distinct events remembered for counting. */
const maxRemembered = 4096;
/** Events that wait to be written; while the API is away, later ones are dropped. */
const maxWaiting = 1024;
/**
 * An event is told so much later. It comes of something that goes on, the start of an instance above all, and its write
 * would take the same processor: four events and their watchers took 10 of 25 ms before a VM was launched.
 */
const delayMs = 300;
/** Of 253 characters, what the time in an event's name leaves for the object's. */
const maxObjectNameLength = 230;

/** Writes events beside objects; the same event again raises its count. Never throws: an event is news, not state. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #known = new Map<string, Event>();
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #lastMicros = 0n;
  /** Aborts when somebody waits for what is to be told. */
  #hurry = new AbortController();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  normal(object: KubeObject, reason: string, message: string, fieldPath?: string): void {
    this.#enqueue("Normal", object, reason, message, fieldPath);
  }

  warning(object: KubeObject, reason: string, message: string, fieldPath?: string): void {
    this.#enqueue("Warning", object, reason, message, fieldPath);
  }

  /** Resolves when every event so far is written or given up. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    await this.#tail;
  }

  #enqueue(type: string, object: KubeObject, reason: string, message: string, fieldPath?: string): void {
    if (this.#waiting >= maxWaiting) return;
    this.#waiting += 1;
    const { clock } = this.#options;
    const at = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    // Of the machine's own time, whatever the clock says: it is about processors.
    const due = sleep(delayMs, undefined, { signal: this.#hurry.signal }).catch(() => {});
    const write = async (): Promise<void> => {
      try {
        await this.#write({ type, object, reason, message: message.slice(0, maxMessageLength), fieldPath, at });
      } catch (error) {
        const log = { object: object.metadata.name, reason: describeError(error) };
        // The namespace is going, or gone: so is everybody who would have read it.
        if (isForbidden(error) || isNotFound(error)) this.#options.logger.debug(log, `event ${reason} was not written`);
        else this.#options.logger.warn(log, `event ${reason} was not written`);
      } finally {
        this.#waiting -= 1;
      }
    };
    this.#tail = Promise.all([this.#tail, due]).then(write);
  }

  async #write(event: {
    readonly type: string;
    readonly object: KubeObject;
    readonly reason: string;
    readonly message: string;
    readonly fieldPath: string | undefined;
    readonly at: string;
  }): Promise<void> {
    const { client, component, host } = this.#options;
    const { object, type, reason, message, fieldPath, at } = event;
    const namespace = object.metadata.namespace ?? "default";
    const identity = [object.metadata.uid, type, reason, message, fieldPath].join("\n");
    const known = this.#known.get(identity);
    if (known !== undefined) {
      try {
        const again = { ...known, count: (known.count ?? 1) + 1, lastTimestamp: at };
        this.#known.set(identity, await client.update(resources.events, again));
        return;
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
        this.#known.delete(identity);
      }
    }
    const created = await client.create(resources.events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: this.#nameFor(object), namespace },
      involvedObject: {
        kind: object.kind,
        apiVersion: object.apiVersion,
        name: object.metadata.name ?? "",
        ...(object.metadata.namespace === undefined ? {} : { namespace }),
        ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
      type,
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
      reportingComponent: component,
      reportingInstance: host ?? "",
    });
    if (this.#known.size >= maxRemembered) this.#known.clear();
    this.#known.set(identity, created);
  }

  /** As client-go names events: the object and the time, here one that never repeats. */
  #nameFor(object: KubeObject): string {
    const now = this.#options.clock.nowMicros();
    this.#lastMicros = now > this.#lastMicros ? now : this.#lastMicros + 1n;
    return `${object.metadata.name.slice(0, maxObjectNameLength).replace(/[-.]+$/, "")}.${this.#lastMicros.toString(16)}`;
  }
}
