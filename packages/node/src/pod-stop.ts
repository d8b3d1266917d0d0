import { describeError, isAbort } from "@isopod/base";
import type { PodContext } from "./pod-context.ts";

/** How long a pod past its deadline may take to stop, whatever grace it asks for. */
const maxDeadlineGraceSeconds = 30;

/**
 * The stop of one pod: its containers get their signal, and what still runs at the end of the grace is ended with its
 * VM. A later request may only shorten the grace.
 */
export class PodStop {
  readonly #context: PodContext;
  #timer: AbortController | undefined;
  #endsMs = Number.POSITIVE_INFINITY;

  constructor(context: PodContext) {
    this.#context = context;
  }

  get isGraceOver(): boolean {
    return this.#context.options.clock.nowMs() >= this.#endsMs;
  }

  begin(graceSeconds: number): void {
    const { stop, detach, options } = this.#context;
    const endsMs = options.clock.nowMs() + graceSeconds * 1000;
    if (!stop.signal.aborted) {
      stop.abort(new Error("the pod is to stop"));
      // What stands still cannot end by itself; without a grace it need not.
      if (graceSeconds > 0) this.#context.pause.check();
      void this.signalContainers();
    }
    if (endsMs >= this.#endsMs) return;
    this.#endsMs = endsMs;
    this.#timer?.abort();
    const timer = new AbortController();
    this.#timer = timer;
    options.clock
      .sleep(Math.max(0, graceSeconds * 1000), AbortSignal.any([timer.signal, detach.signal]))
      .then(async () => await this.#context.instance?.kill())
      // Put off, or the VM could not be ended: then the release tries again.
      .catch(() => {});
  }

  /** Nothing is left to be ended. */
  done(): void {
    this.#timer?.abort();
  }

  async signalContainers(): Promise<void> {
    const { instance, slots, pod, options, logger, detach } = this.#context;
    if (instance === undefined) return;
    for (const slot of slots) {
      if (!slot.isRunning || slot.current === undefined) continue;
      const { name } = slot.container;
      options.events.normal(pod, "Killing", `Stopping container ${name}`, slot.fieldPath);
      try {
        const image = await options.images.get(slot.imageDigest);
        const stopSignal = image === undefined || image.config.stopSignal === "" ? "SIGTERM" : image.config.stopSignal;
        await instance.signal(slot.current.id, stopSignal, detach.signal);
      } catch (error) {
        if (isAbort(error)) return;
        logger.debug({ container: name, reason: describeError(error) }, "the stop signal was not delivered");
      }
    }
  }

  /** Stops the pod when it has been active for `activeDeadlineSeconds`. */
  armDeadline(): void {
    const context = this.#context;
    const seconds = context.pod.spec.activeDeadlineSeconds;
    if (seconds === undefined) return;
    const { clock, events } = context.options;
    const leftMs = context.startTimeMs + seconds * 1000 - clock.nowMs();
    clock
      .sleep(Math.max(0, leftMs), context.signal)
      .then(() => {
        const message = "Pod was active on the node longer than the specified deadline";
        context.failure = { reason: "DeadlineExceeded", message };
        events.normal(context.pod, "DeadlineExceeded", message);
        this.begin(Math.min(maxDeadlineGraceSeconds, context.pod.spec.terminationGracePeriodSeconds ?? 30));
      })
      .catch(() => {});
  }
}
