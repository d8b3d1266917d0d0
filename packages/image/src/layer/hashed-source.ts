import { createHash, type Hash } from "node:crypto";

/**
 * A source of bytes that hashes what passes. A consumer that stops early does not close it: the digest is of the whole,
 * and only when it is known can damage be told from a wrong digest. So the owner calls {@link drain}, then `dispose`.
 */
export class HashedSource implements AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #hash: Hash = createHash("sha256");
  #isDone = false;
  #error: unknown;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** What the source itself threw, as opposed to its consumer. */
  get error(): unknown {
    return this.#error;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: () => this.#next() };
  }

  /** Reads to the end. */
  async drain(): Promise<void> {
    while (!this.#isDone) await this.#next();
  }

  /** Hexadecimal; once, after the end. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#isDone) return { done: true, value: undefined };
    try {
      const next = await this.#iterator.next();
      if (next.done === true) {
        this.#isDone = true;
        return { done: true, value: undefined };
      }
      this.#hash.update(next.value);
      return { done: false, value: next.value };
    } catch (error) {
      this.#isDone = true;
      this.#error = error;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDone = true;
    await this.#iterator.return?.();
  }
}
