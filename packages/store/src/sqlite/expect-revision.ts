import type { LogWriter, NewestRow } from "./log-writer.ts";
import type { WriteFailed } from "./wire.ts";

/** The compare of compare-and-swap: the key exists, and nobody wrote it since the caller read it. */
export function expectRevision(log: LogWriter, key: string, expectedRevision: number): NewestRow | WriteFailed {
  const newest = log.newest(key);
  if (newest === undefined || newest.isDeleted) return { code: "NotFound", message: `key ${key} does not exist` };
  if (newest.revision === expectedRevision) return newest;
  return { code: "Conflict", message: `key ${key} is at revision ${newest.revision}, not ${expectedRevision}` };
}
