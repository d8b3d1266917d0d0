/** Fewer bytes than this in one timeout are no progress: a drip must not hold a pull for ever. */
const minProgressBytes = 16 * 1024;

/** Watches one request or one body for progress. Only time spent waiting counts: a slow reader is no stall. */
export class StallWatch {
  readonly #timeoutMs: number;
  readonly #makeError: () => Error;
  #waitedMs = 0;
  #bytes = 0;

  constructor(timeoutMs: number, makeError: () => Error) {
    this.#timeoutMs = timeoutMs;
    this.#makeError = makeError;
  }

  /** Waits for `step`, which brings `bytesOf` its result; rejects when the timeout is used up without progress. */
  async run<T>(step: Promise<T>, bytesOf: (result: T) => number): Promise<T> {
    const startMs = performance.now();
    const { promise: stalled, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(this.#makeError()), Math.max(1, this.#timeoutMs - this.#waitedMs));
    try {
      const result = await Promise.race([step, stalled]);
      this.#waitedMs += performance.now() - startMs;
      this.#bytes += bytesOf(result);
      if (this.#bytes >= minProgressBytes) {
        this.#waitedMs = 0;
        this.#bytes = 0;
      }
      return result;
    } finally {
      clearTimeout(timer);
      // When the race is lost, the step's own end is of no interest any more.
      step.catch(() => {});
    }
  }
}
