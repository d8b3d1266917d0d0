import type { DatabaseSync } from "node:sqlite";
import { create } from "./create.ts";
import { remove } from "./delete.ts";
import type { LogWriter } from "./log-writer.ts";
import { update } from "./update.ts";
import type { WriteOperation, WriteOutcome } from "./wire.ts";

/**
 * Writes a batch in one transaction and returns when it is durable. A write that loses its compare-and-swap fails
 * alone; an error of the storage rolls back the whole batch and is thrown.
 */
export function commit(
  database: DatabaseSync,
  log: LogWriter,
  operations: readonly WriteOperation[],
  values: Uint8Array<ArrayBuffer>,
): readonly WriteOutcome[] {
  const before = log.newestRevision;
  try {
    database.exec("BEGIN IMMEDIATE");
    const outcomes = operations.map((operation) => write(log, operation, values));
    database.exec("COMMIT");
    return outcomes;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    log.rewind(before);
    throw error;
  }
}

function write(log: LogWriter, operation: WriteOperation, values: Uint8Array<ArrayBuffer>): WriteOutcome {
  const { key, expectedRevision, offset, length } = operation;
  switch (operation.verb) {
    case "create":
      return create(log, key, values.subarray(offset, offset + length));
    case "update":
      return update(log, key, values.subarray(offset, offset + length), expectedRevision);
    case "delete":
      return remove(log, key, expectedRevision);
  }
}
