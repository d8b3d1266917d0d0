import { isPauseWanted, pauseFailedReason } from "@isopod/api";
import { backoffDelayMs, describeError } from "@isopod/base";
import type { GuestReidentification } from "@isopod/guest";
import type { Instance } from "./instance.ts";
import type { PodContext } from "./pod-context.ts";

/** A pause that fails is tried again, in case it was the host's trouble; a request taken back ends that. */
const retryBackoff = { initialMs: 1000, maxMs: 60_000 } as const;

/**
 * Brings a pod's VM to where the pod wants it: paused, or running. {@link check} is called whenever either may have
 * changed; the rest happens by itself, one change at a time, the latest wish counting.
 *
 * Whether a pod counts as paused is what it is billed as, which is in the record: so that it outlives the node agent.
 */
export class PodPause {
  readonly #context: PodContext;
  /** Why the VM is not what the pod wants it to be. */
  failure: string | undefined;
  /** Who the guest is to be told it is when it goes on; until it is known the VM is left as it is. */
  identity: (() => GuestReidentification) | undefined;
  #isFollowing = false;
  #checked = Promise.withResolvers<void>();

  constructor(context: PodContext) {
    this.#context = context;
  }

  get isPaused(): boolean {
    return this.#context.usage.state === "Paused";
  }

  /** A container of the pod has started in this VM: before, there is nothing to pause, nor to keep. */
  get isPossible(): boolean {
    const { usage, slots, record } = this.#context;
    const isStarted = slots.some((slot) => !slot.isInit && slot.current?.vm === record.value.vmCount);
    return isStarted && usage.state !== undefined;
  }

  check(): void {
    this.#checked.resolve();
    this.#checked = Promise.withResolvers();
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    void this.#follow();
  }

  async #follow(): Promise<void> {
    try {
      for (let failures = 0; ; ) {
        const { instance, detach } = this.#context;
        if (instance === undefined || instance.ended.aborted || detach.signal.aborted) return;
        const isWanted = this.#isWanted;
        if (instance.isPaused === isWanted && this.isPaused === isWanted) return this.#settle();
        const checked = this.#checked.promise;
        try {
          if (isWanted) await this.#pause(instance);
          else if (!(await this.#resume(instance))) return;
          failures = 0;
        } catch (error) {
          if (instance.ended.aborted || detach.signal.aborted) return;
          this.#fail(isWanted, error);
          await this.#backOff(instance, checked, failures++);
        }
      }
    } finally {
      this.#isFollowing = false;
    }
  }

  /** What is to stop has to run for it. */
  get #isWanted(): boolean {
    const { pod, stop } = this.#context;
    return isPauseWanted(pod) && this.isPossible && !stop.signal.aborted;
  }

  async #pause(instance: Instance): Promise<void> {
    await instance.pause();
    this.#context.usage.turn("Paused", this.#context.nowMicros);
    this.#tell("Paused", "Paused the instance: it stands still and keeps what it has");
  }

  /** False when it has to wait until the VM's identity is known. */
  async #resume(instance: Instance): Promise<boolean> {
    const { usage, stop, detach, options, pod, logger } = this.#context;
    const { identity } = this;
    if (identity === undefined && !stop.signal.aborted) return false;
    await instance.resume();
    const wasPaused = this.isPaused;
    usage.turn("Running", this.#context.nowMicros);
    try {
      if (identity !== undefined) await instance.reidentify(identity(), detach.signal);
    } catch (error) {
      // It runs, with a clock that is behind: better than one that stands still for it.
      if (instance.ended.aborted || detach.signal.aborted) return true;
      logger.warn({ reason: describeError(error) }, "the clock of a resumed instance was not set");
      options.events.warning(pod, pauseFailedReason, `The clock was not set at the resume: ${describeError(error)}`);
    }
    if (wasPaused) this.#tell("Resumed", "Resumed the instance");
    return true;
  }

  #tell(reason: string, message: string): void {
    const { options, pod } = this.#context;
    this.failure = undefined;
    options.events.normal(pod, reason, message);
    this.#context.publish();
  }

  #settle(): void {
    if (this.failure === undefined) return;
    this.failure = undefined;
    this.#context.publish();
  }

  #fail(isWanted: boolean, error: unknown): void {
    const { options, pod, logger } = this.#context;
    const message = `the instance could not be ${isWanted ? "paused" : "resumed"}: ${describeError(error)}`;
    logger.warn({ reason: describeError(error) }, "the instance is not what its pod wants; trying again");
    options.events.warning(pod, pauseFailedReason, message);
    this.failure = message;
    this.#context.publish();
  }

  async #backOff(instance: Instance, checked: Promise<void>, failures: number): Promise<void> {
    const { clock } = this.#context.options;
    const over = new AbortController();
    const until = AbortSignal.any([over.signal, instance.ended, this.#context.detach.signal]);
    const sleeping = clock.sleep(backoffDelayMs(failures, retryBackoff), until).catch(() => {});
    await Promise.race([sleeping, checked]);
    over.abort();
  }
}
