import type { LogWriter } from "./log-writer.ts";
import type { WriteOutcome } from "./wire.ts";

export function create(log: LogWriter, key: string, value: Uint8Array<ArrayBuffer>): WriteOutcome {
  const newest = log.newest(key);
  if (newest !== undefined && !newest.isDeleted) {
    return { code: "AlreadyExists", message: `key ${key} exists already` };
  }
  const previousRevision = newest?.revision ?? 0;
  const revision = log.append(key, undefined, previousRevision, value);
  return { revision, createRevision: revision, previousRevision };
}
