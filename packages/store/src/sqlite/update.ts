import { expectRevision } from "./expect-revision.ts";
import type { LogWriter } from "./log-writer.ts";
import type { WriteDone } from "./wire.ts";

export function update(
  log: LogWriter,
  key: string,
  value: Uint8Array<ArrayBuffer>,
  expectedRevision: number,
): WriteDone {
  const { createRevision } = expectRevision(log, key, expectedRevision);
  const revision = log.append(key, createRevision, expectedRevision, value);
  return { revision, createRevision, previousRevision: expectedRevision };
}
