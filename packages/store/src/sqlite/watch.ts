import type { WatchBatch } from "../contract.ts";
import { StoreError } from "../errors.ts";
import type { Broadcaster, Subscription } from "./broadcaster.ts";
import type { LogReader } from "./log-reader.ts";

const catchUpEvents = 512;

/** What a watch needs to know of the store it belongs to. */
export interface WatchSource {
  /** Throws `Closed` once the store is. */
  reader(): LogReader;
  readonly broadcaster: Broadcaster;
  currentRevision(): number;
  compactedRevision(): number;
}

/**
 * Two phases, and back to the first whenever the second overruns: catch up by reading the log, then follow the
 * broadcaster. The step from one to the other is made without an await in between, so that no event falls through.
 */
export async function* watch(
  source: WatchSource,
  prefix: string,
  afterRevision: number,
  signal: AbortSignal,
): AsyncGenerator<WatchBatch> {
  let position = afterRevision;
  while (!signal.aborted) {
    const reader = source.reader();
    assertNotCompacted(source, position);
    const upTo = source.currentRevision();
    const events = reader.events(prefix, position, upTo, catchUpEvents);
    const last = events.at(-1);
    if (events.length === catchUpEvents && last !== undefined) {
      position = last.revision;
      yield { revision: position, events };
      continue;
    }
    using subscription = source.broadcaster.subscribe(prefix, upTo);
    position = upTo;
    yield { revision: upTo, events };
    for await (const batch of follow(source, subscription, upTo, signal)) {
      position = batch.revision;
      yield batch;
    }
  }
}

/** Ends when the subscription overran or the signal aborted. */
async function* follow(
  source: WatchSource,
  subscription: Subscription,
  fromRevision: number,
  signal: AbortSignal,
): AsyncGenerator<WatchBatch> {
  let told = fromRevision;
  const onAbort = () => subscription.wake();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    while (!signal.aborted && !subscription.isOverrun) {
      const batch = subscription.take();
      if (batch.events.length > 0 || batch.revision > told) {
        told = batch.revision;
        yield batch;
        continue;
      }
      await subscription.wait();
      // Woken by the closing of the store, this throws.
      source.reader();
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function assertNotCompacted(source: WatchSource, revision: number): void {
  const compacted = source.compactedRevision();
  if (revision >= compacted) return;
  throw new StoreError(`revision ${revision} has been compacted; the oldest to watch from is ${compacted}`, {
    code: "Compacted",
  });
}
