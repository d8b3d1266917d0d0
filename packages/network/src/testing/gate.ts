import { CommandShells, type RunCommand } from "../linux/command-shells.ts";

/** Programs that are run with these words among their arguments or their input wait here, each until it is let go. */
export class Gate {
  readonly #shells = new CommandShells();
  readonly #waiting: { readonly words: string; readonly go: (error?: Error) => void }[] = [];
  readonly #arrivals: (() => void)[] = [];
  words: string | undefined;

  readonly run: RunCommand = async (program, args, options) => {
    const words = [program, ...args, options?.input ?? ""].join(" ");
    if (this.words !== undefined && words.includes(this.words)) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ words, go: (error) => (error === undefined ? resolve() : reject(error)) });
        for (const tell of this.#arrivals.splice(0)) tell();
      });
    }
    return await this.#shells.run(program, args, options);
  };

  /** Resolves when a program waits. */
  async arrival(): Promise<void> {
    if (this.#waiting.length === 0) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Lets all that wait go on, or fail, and holds no more. */
  open(error?: Error): void {
    this.words = undefined;
    for (const { go } of this.#waiting.splice(0)) go(error);
  }
}
