import { type Event, isConflict, isNotFound, type KubeObject, resources } from "@isopod/api";
import { describeError, isAbort, type Logger } from "@isopod/base";
import { decodeObject } from "./objects/object-json.ts";
import { keyPrefix } from "./objects/object-key.ts";
import type { ObjectStore } from "./objects/object-store.ts";

/** As long as kube-apiserver keeps events unless told otherwise. */
const lifetimeMs = 3_600_000;
const intervalMs = 300_000;
const pageSize = 200;

/** Deletes events that were last seen an hour ago, until the signal aborts: nobody else ever would. */
export async function runEventExpiry(objects: ObjectStore, logger: Logger, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await objects.clock.sleep(intervalMs, signal);
      try {
        await expireEvents(objects, signal);
      } catch (error) {
        if (!signal.aborted)
          logger.warn({ error: describeError(error) }, "old events were not deleted; tried again later");
      }
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** One pass over all events. */
export async function expireEvents(objects: ObjectStore, signal: AbortSignal): Promise<void> {
  const oldestMs = objects.clock.nowMs() - lifetimeMs;
  let after: string | undefined;
  do {
    const page = await objects.store.list(keyPrefix(resources.events, ""), {
      limit: pageSize,
      skipCount: true,
      ...(after === undefined ? {} : { after }),
    });
    for (const stored of page.items) {
      signal.throwIfAborted();
      // Not through the cache: a pass over old events must not push out what is in use.
      const object = decodeObject(stored.value, stored.modRevision);
      if (lastSeenMs(object) > oldestMs) continue;
      try {
        await objects.delete(resources.events, { stored, object });
      } catch (error) {
        // Seen again just now, or gone already.
        if (!isConflict(error) && !isNotFound(error)) throw error;
      }
    }
    after = page.remainingCount > 0 ? page.items.at(-1)?.key : undefined;
  } while (after !== undefined);
}

function lastSeenMs(object: KubeObject & Partial<Pick<Event, "lastTimestamp" | "eventTime" | "series">>): number {
  const times = [
    object.lastTimestamp,
    object.series?.lastObservedTime,
    object.eventTime,
    object.metadata.creationTimestamp,
  ];
  return Math.max(...times.map((time) => Date.parse(time ?? "")).filter((ms) => !Number.isNaN(ms)));
}
