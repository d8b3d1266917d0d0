import { type Clock, describeError, isAbort, type Logger } from "@isopod/base";
import type { Store } from "../contract.ts";

export interface HistoryOptions {
  /** Versions younger than this can be read and watched from; default 5 minutes. */
  readonly historyMs: number;
  /** At most this many revisions are kept beyond the current versions, however young; default 200,000. */
  readonly historyRevisions: number;
}

/** Forgets old history, looking five times per window, until the signal aborts. */
export async function runCompaction(
  store: Store,
  clock: Clock,
  logger: Logger,
  options: HistoryOptions,
  signal: AbortSignal,
): Promise<void> {
  // Revisions with the time they were current at, oldest first.
  const marks: { readonly atMs: number; readonly revision: number }[] = [];
  try {
    for (;;) {
      marks.push({ atMs: clock.monotonicMs(), revision: await store.currentRevision() });
      await clock.sleep(options.historyMs / 5, signal);
      const oldestMs = clock.monotonicMs() - options.historyMs;
      let target = (await store.currentRevision()) - options.historyRevisions;
      for (let mark = marks[0]; mark !== undefined && mark.atMs <= oldestMs; mark = marks[0]) {
        target = Math.max(target, mark.revision);
        marks.shift();
      }
      if (target <= 0) continue;
      try {
        await store.compact(target);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ revision: target, error: describeError(error) }, "compaction failed; it is tried again");
      }
    }
  } catch (error) {
    // The store itself has failed: whoever uses it hears so from each call.
    if (!isAbort(error)) logger.error({ error: describeError(error) }, "history is no longer compacted");
  }
}
