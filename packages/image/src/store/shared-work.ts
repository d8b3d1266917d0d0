interface Running<T> {
  readonly promise: Promise<T>;
  readonly controller: AbortController;
  waiters: number;
}

/**
 * Work that several callers want at the same moment is done once. It goes on as long as one caller waits for it, and
 * is aborted when the last one has given up.
 */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * Joins the work of this key, or starts it. When work begun by another caller fails, for reasons that may be that
   * caller's own (its credentials), it is started once more for this one.
   */
  async run(key: string, start: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const joined = this.#running.get(key);
    if (joined !== undefined) {
      try {
        return await this.#wait(joined, signal);
      } catch (error) {
        if (signal.aborted) throw error;
      }
    }
    return await this.#wait(this.#running.get(key) ?? this.#start(key, start), signal);
  }

  #start(key: string, start: (signal: AbortSignal) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const promise = start(controller.signal).finally(() => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    });
    const running: Running<T> = { promise, controller, waiters: 0 };
    this.#running.set(key, running);
    return running;
  }

  async #wait(running: Running<T>, signal: AbortSignal): Promise<T> {
    running.waiters++;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    // Its outcome may come after everybody has left.
    running.promise.catch(() => {});
    try {
      signal.throwIfAborted();
      signal.addEventListener("abort", onAbort, { once: true });
      return await Promise.race([running.promise, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      if (--running.waiters === 0) {
        // Whoever comes from now on starts anew rather than joining what is being aborted.
        for (const [key, other] of this.#running) if (other === running) this.#running.delete(key);
        running.controller.abort(signal.reason);
        // Files of an aborted work must be gone before its caller hears of the end.
        if (signal.aborted) await running.promise.catch(() => {});
      }
    }
  }
}
