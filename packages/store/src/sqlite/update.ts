import { expectRevision } from "./expect-revision.ts";
import type { LogWriter } from "./log-writer.ts";
import type { WriteOutcome } from "./wire.ts";

export function update(
  log: LogWriter,
  key: string,
  value: Uint8Array<ArrayBuffer>,
  expectedRevision: number,
): WriteOutcome {
  const newest = expectRevision(log, key, expectedRevision);
  if ("code" in newest) return newest;
  const { createRevision } = newest;
  const revision = log.append(key, createRevision, expectedRevision, value);
  return { revision, createRevision, previousRevision: expectedRevision };
}
