import { StoreError } from "../errors.ts";
import type { LogWriter, NewestRow } from "./log-writer.ts";

/** The compare of compare-and-swap: the key exists, and nobody wrote it since the caller read it. */
export function expectRevision(log: LogWriter, key: string, expectedRevision: number): NewestRow {
  const newest = log.newest(key);
  if (newest === undefined || newest.isDeleted) {
    throw new StoreError(`key ${key} does not exist`, { code: "NotFound", object: key });
  }
  if (newest.revision !== expectedRevision) {
    throw new StoreError(`key ${key} is at revision ${newest.revision}, not ${expectedRevision}`, {
      code: "Conflict",
      object: key,
    });
  }
  return newest;
}
