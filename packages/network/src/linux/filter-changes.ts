import type { NftCommand } from "./host-commands.ts";

/**
 * Changes of one packet filter. Each transaction waits for the kernel's grace periods, whatever its size: those that
 * come while one is under way go together in the next, in their order.
 */
export class FilterChanges {
  readonly #commit: (commands: readonly NftCommand[]) => Promise<void>;
  #waiting: NftCommand[] = [];
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(commit: (commands: readonly NftCommand[]) => Promise<void>) {
    this.#commit = commit;
  }

  /** Resolves when the change holds; rejects when the transaction it went with failed, and with it all in it. */
  async apply(commands: readonly NftCommand[]): Promise<void> {
    this.#waiting.push(...commands);
    this.#next ??= this.#last.then(async () => {
      const all = this.#waiting;
      this.#waiting = [];
      this.#next = undefined;
      await this.#commit(all);
    });
    const mine = this.#next;
    this.#last = mine.catch(() => {});
    await mine;
  }
}
