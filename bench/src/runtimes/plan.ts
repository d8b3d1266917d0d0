import type { Contender } from "./contender.ts";

/** What one run compares, and how often. */
export interface RunPlan {
  readonly contenders: readonly Contender[];
  readonly rounds: number;
  readonly signal: AbortSignal;
  /** The contenders in an order that begins with another one each round: none always follows the same. */
  inTurn(round: number): readonly Contender[];
}

export function planRun(contenders: readonly Contender[], rounds: number, signal: AbortSignal): RunPlan {
  return {
    contenders,
    rounds,
    signal,
    inTurn: (round) => {
      const first = round % contenders.length;
      return [...contenders.slice(first), ...contenders.slice(0, first)];
    },
  };
}
