import { expectRevision } from "./expect-revision.ts";
import type { LogWriter } from "./log-writer.ts";
import type { WriteDone } from "./wire.ts";

export function remove(log: LogWriter, key: string, expectedRevision: number): WriteDone {
  const { createRevision } = expectRevision(log, key, expectedRevision);
  const revision = log.append(key, createRevision, expectedRevision, undefined);
  return { revision, createRevision, previousRevision: expectedRevision };
}
