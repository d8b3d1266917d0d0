import type { Clock } from "@isopod/base";
import type { PullProgress } from "../contract.ts";

const intervalMs = 100;

/** Gathers what a pull does and tells it, at most ten times a second and at every change of stage. */
export class ProgressTracker {
  readonly #reference: string;
  readonly #clock: Clock;
  readonly #listeners = new Set<(progress: PullProgress) => void>();
  #stage: PullProgress["stage"] = "resolve";
  #doneBytes = 0;
  #totalBytes = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(reference: string, clock: Clock) {
    this.#reference = reference;
    this.#clock = clock;
  }

  /** A new listener hears at once where things are. Several callers can share one pull. */
  listen(listener: (progress: PullProgress) => void): Disposable {
    // Wrapped, so that a listener added twice is two.
    const own = (progress: PullProgress) => listener(progress);
    this.#listeners.add(own);
    own(this.#now());
    return { [Symbol.dispose]: () => this.#listeners.delete(own) };
  }

  begin(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.enter("download");
  }

  enter(stage: PullProgress["stage"]): void {
    if (stage === this.#stage) return;
    this.#stage = stage;
    this.#tell();
  }

  /** Bytes that came, or that turned out to be here already. */
  add(bytes: number): void {
    this.#doneBytes = Math.min(this.#doneBytes + bytes, this.#totalBytes);
    if (this.#stage === "download" && this.#doneBytes === this.#totalBytes) this.enter("convert");
    else if (this.#clock.monotonicMs() - this.#toldMs >= intervalMs) this.#tell();
  }

  #now(): PullProgress {
    return {
      reference: this.#reference,
      stage: this.#stage,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
    };
  }

  #tell(): void {
    this.#toldMs = this.#clock.monotonicMs();
    for (const listener of this.#listeners) listener(this.#now());
  }
}
