import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Keys worked on at the same time; default 16. */
  readonly concurrency?: number;
}

/**
 * Keys to reconcile. A key waits at most once, is worked on by one worker at a time, and comes again after a failure
 * with exponential back-off (10 ms to 30 s). A key added while it is worked on is worked on once more.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { readonly cancel: AbortController; readonly dueMs: number }>();
  #reconcile: ((key: string, signal: AbortSignal) => Promise<void>) | undefined;
  #signal: AbortSignal | undefined;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#signal?.aborted === true) return;
    this.#timers.get(key)?.cancel.abort();
    this.#timers.delete(key);
    this.#waiting.add(key);
    this.#pump();
  }

  /** Adds the key after a delay, unless it is added before; of several delays the one that ends first counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#signal?.aborted === true || this.#waiting.has(key)) return;
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + delayMs;
    const timer = this.#timers.get(key);
    if (timer !== undefined && timer.dueMs <= dueMs) return;
    timer?.cancel.abort();
    const cancel = new AbortController();
    this.#timers.set(key, { cancel, dueMs });
    clock.sleep(delayMs, cancel.signal).then(
      () => {
        if (this.#timers.get(key)?.cancel === cancel) this.add(key);
      },
      () => {},
    );
  }

  /** Works until the signal aborts and the keys in work are done. `reconcile` may throw: the key comes again. */
  async run(reconcile: (key: string, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#reconcile = reconcile;
    this.#signal = signal;
    this.#pump();
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    for (const { cancel } of this.#timers.values()) cancel.abort();
    this.#timers.clear();
    this.#waiting.clear();
    if (this.#active.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    const { concurrency = 16 } = this.#options;
    if (this.#reconcile === undefined || this.#signal?.aborted === true) return;
    for (const key of this.#waiting) {
      if (this.#active.size >= concurrency) return;
      if (this.#active.has(key)) continue;
      this.#waiting.delete(key);
      this.#active.add(key);
      void this.#work(key, this.#reconcile, this.#signal ?? AbortSignal.abort());
    }
  }

  async #work(
    key: string,
    reconcile: (key: string, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await reconcile(key, signal);
      this.#failures.delete(key);
    } catch (error) {
      if (!signal.aborted) {
        const failures = this.#failures.get(key) ?? 0;
        this.#failures.set(key, failures + 1);
        const delayMs = backoffDelayMs(failures, { initialMs: 10, maxMs: 30_000 });
        const log = { queue: this.#options.name, key, attempt: failures + 1, reason: describeError(error) };
        // The first failures are mostly write conflicts that the next look at the object settles.
        if (failures < 3) this.#options.logger.debug(log, "reconcile failed; trying again");
        else this.#options.logger.warn(log, "reconcile keeps failing; trying again");
        this.addAfter(key, delayMs);
      }
    } finally {
      this.#active.delete(key);
      if (this.#active.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      this.#pump();
    }
  }
}
