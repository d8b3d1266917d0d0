/** Runs tasks one after the other, in the order they came. */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** True when nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** A signal aborted before the task's turn rejects with its reason; a task that has begun is not interrupted. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#waiting += 1;
    const turn = this.#tail.then(async () => {
      signal?.throwIfAborted();
      return await task();
    });
    this.#tail = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}
