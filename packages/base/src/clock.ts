import { setTimeout as delay } from "node:timers/promises";

/** Time comes in as an argument, so that tests decide it. */
export interface Clock {
  /** Wall time, milliseconds since the epoch. */
  nowMs(): number;
  /** Wall time, microseconds since the epoch. */
  nowMicros(): bigint;
  /** Monotonic time in milliseconds with fraction; only differences mean something. */
  monotonicMs(): number;
  /** Resolves after `durationMs`; rejects with the signal's reason when aborted. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  nowMicros: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)),
  monotonicMs: () => performance.now(),
  sleep: async (durationMs: number, signal?: AbortSignal) => {
    await delay(durationMs, undefined, signal === undefined ? {} : { signal });
  },
});
