import type { Comparison, Failure, Series } from "../report.ts";

/** What was measured of one contender under one heading. */
export interface Measured {
  readonly topic: string;
  readonly what: string;
  readonly contender: string;
  readonly unit: string;
  readonly isRate: boolean;
  /** A word on how it was measured, when not as the others. */
  readonly note: string | undefined;
  readonly values: readonly number[];
}

export interface FailedPart {
  readonly topic: string;
  readonly contender: string;
  readonly reason: string;
  readonly times: number;
}

export interface Adding {
  readonly isRate?: boolean;
  readonly note?: string;
}

/** A part that failed so often for a contender is not tried again for it. */
const mostFailures = 3;

/** Figures and failures of one run, in the order they first came. */
export class Measurements {
  readonly peer: string;
  readonly #measured = new Map<string, Measured & { readonly values: number[] }>();
  readonly #failed = new Map<string, FailedPart>();

  /** `peer` is the contender the others are compared with. */
  constructor(peer: string) {
    this.peer = peer;
  }

  add(
    topic: string,
    what: string,
    contender: string,
    unit: string,
    values: readonly number[],
    { isRate = false, note }: Adding = {},
  ): void {
    const key = JSON.stringify([topic, what, contender]);
    const known = this.#measured.get(key) ?? { topic, what, contender, unit, isRate, note, values: [] };
    known.values.push(...values);
    this.#measured.set(key, known);
  }

  fail(topic: string, contender: string, reason: string): void {
    const key = JSON.stringify([topic, contender]);
    const times = (this.#failed.get(key)?.times ?? 0) + 1;
    this.#failed.set(key, { topic, contender, reason, times });
  }

  /**
   * Does something for a contender that some topics need; when it fails, that is written down for each of them and the
   * run goes on. An interruption is no failure: it is thrown on.
   */
  async attempt(
    topics: readonly string[],
    contender: string,
    signal: AbortSignal,
    action: () => Promise<void>,
  ): Promise<void> {
    signal.throwIfAborted();
    const wanted = topics.filter((topic) => (this.failedPart(topic, contender)?.times ?? 0) < mostFailures);
    if (wanted.length === 0) return;
    try {
      await action();
    } catch (error) {
      signal.throwIfAborted();
      const reason = reasonOf(error);
      console.error(`${contender}, ${wanted.join(", ")}: failed: ${reason}`);
      for (const topic of wanted) this.fail(topic, contender, reason);
    }
  }

  failedPart(topic: string, contender: string): FailedPart | undefined {
    return this.#failed.get(JSON.stringify([topic, contender]));
  }

  get measured(): readonly Measured[] {
    return [...this.#measured.values()];
  }

  get failed(): readonly FailedPart[] {
    return [...this.#failed.values()];
  }

  get series(): readonly Series[] {
    return this.measured.map(seriesOf);
  }

  get comparisons(): readonly Comparison[] {
    return this.measured.flatMap((one) => {
      const peer = this.peerOf(one);
      return peer === undefined ? [] : [{ ours: seriesOf(one), peer: seriesOf(peer) }];
    });
  }

  get failures(): readonly Failure[] {
    return this.failed.map(({ topic, contender, reason, times }) => ({
      what: `${contender}, ${topic}`,
      reason: `${times} ×: ${reason}`,
    }));
  }

  /** The peer's figures beside another's; undefined for the peer itself. */
  peerOf({ topic, what, contender }: Measured): Measured | undefined {
    return contender === this.peer ? undefined : this.#measured.get(JSON.stringify([topic, what, this.peer]));
  }
}

export function seriesOf({ what, contender, unit, values, isRate }: Measured): Series {
  return { what: `${contender} ${what}`, unit, values, isRate };
}

/** What went wrong, in one line. A failed program's own last words come first. */
export function reasonOf(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  const text = stderr.trim() === "" ? String(error instanceof Error ? error.message : error) : stderr;
  const lines = text.split("\n").map((line) => line.trim());
  return lines
    .filter((line) => line !== "")
    .slice(-2)
    .join(" ")
    .slice(0, 300);
}
