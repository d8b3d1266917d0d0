import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  /** First delay. */
  readonly initialMs: number;
  /** No delay is longer than this. */
  readonly maxMs: number;
  /** Each delay is this many times the one before; default 2. */
  readonly factor?: number;
}

/** Delay before attempt number `attempt` (0 = the first retry), without jitter. */
export function backoffDelayMs(attempt: number, options: BackoffOptions): number {
  const factor = options.factor ?? 2;
  // Beyond 64 doublings every sensible maximum is reached; the bound keeps the power finite.
  return Math.min(options.maxMs, options.initialMs * factor ** Math.min(attempt, 64));
}

export interface RetryOptions extends BackoffOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Attempts in all; default: until the signal says stop. */
  readonly attempts?: number;
  /** False ends the retrying at once; default: everything is retried. */
  readonly isRetryable?: (error: unknown) => boolean;
}

/** Calls `action` until it succeeds, with exponential back-off; throws its last error. */
export async function retry<T>(action: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const attempts = options.attempts ?? Number.POSITIVE_INFINITY;
  for (let attempt = 0; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await action(attempt);
    } catch (error) {
      if (options.signal?.aborted === true || attempt + 1 >= attempts) throw error;
      if (options.isRetryable?.(error) === false) throw error;
      await options.clock.sleep(backoffDelayMs(attempt, options), options.signal);
    }
  }
}
