/**
 * Tasks in the order they came, of two kinds: those that may run side by side, and those that run alone: after all
 * that came before them, and before all that come after.
 */
export class TurnQueue {
  #lastAlone: Promise<unknown> = Promise.resolve();
  #sinceThen = new Set<Promise<unknown>>();
  #count = 0;

  /** True when nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#count === 0;
  }

  /** A signal aborted before the task's turn rejects with its reason; a task that has begun is not interrupted. */
  async together<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = this.#lastAlone.then(async () => {
      signal?.throwIfAborted();
      return await task();
    });
    const sinceThen = this.#sinceThen;
    const ended: Promise<unknown> = turn.catch(() => {}).then(() => sinceThen.delete(ended));
    sinceThen.add(ended);
    return await this.#counted(turn);
  }

  /** As {@link together}, alone. */
  async alone<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = Promise.all([this.#lastAlone, ...this.#sinceThen]).then(async () => {
      signal?.throwIfAborted();
      return await task();
    });
    this.#lastAlone = turn.catch(() => {});
    this.#sinceThen = new Set();
    return await this.#counted(turn);
  }

  async #counted<T>(turn: Promise<T>): Promise<T> {
    this.#count += 1;
    try {
      return await turn;
    } finally {
      this.#count -= 1;
    }
  }
}
