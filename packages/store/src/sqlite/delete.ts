import { expectRevision } from "./expect-revision.ts";
import type { LogWriter } from "./log-writer.ts";
import type { WriteOutcome } from "./wire.ts";

export function remove(log: LogWriter, key: string, expectedRevision: number): WriteOutcome {
  const newest = expectRevision(log, key, expectedRevision);
  if ("code" in newest) return newest;
  const { createRevision } = newest;
  const revision = log.append(key, createRevision, expectedRevision, undefined);
  return { revision, createRevision, previousRevision: expectedRevision };
}
