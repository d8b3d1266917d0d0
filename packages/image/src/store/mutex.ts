/** Runs actions one after another, in the order they came. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  async run<T>(action: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(action);
    // The next one waits for this one's end, not for its success.
    this.#last = mine.catch(() => {});
    return await mine;
  }
}
