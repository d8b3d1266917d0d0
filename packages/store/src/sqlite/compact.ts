import type { DatabaseSync } from "node:sqlite";
import { compactedRevision } from "./schema.ts";

/** Rows looked at per transaction: keeps each one to a few milliseconds, so that writers hardly wait. */
const stepRevisions = 500;

/**
 * Forgets, up to `revision`, every row that a later row up to `revision` replaced, and every tombstone. Yields between
 * steps so that writes get in; each step leaves a store that is consistent at the revision it reached.
 */
export function* compact(database: DatabaseSync, revision: number): Generator<void> {
  const forgetTombstones = database.prepare("DELETE FROM log WHERE id > ? AND id <= ? AND deleted = 1");
  const forgetReplaced = database.prepare(
    `DELETE FROM log WHERE id IN (
       SELECT older.id FROM log AS newer JOIN log AS older ON older.key = newer.key AND older.id < newer.id
       WHERE newer.id > ? AND newer.id <= ?
     )`,
  );
  const remember = database.prepare("UPDATE compaction SET revision = ?");
  let from = compactedRevision(database);
  while (from < revision) {
    const to = Math.min(revision, from + stepRevisions);
    database.exec("BEGIN IMMEDIATE");
    try {
      // First what rows of this step replaced, wherever it lies; then the step's own tombstones.
      forgetReplaced.run(from, to);
      forgetTombstones.run(from, to);
      remember.run(to);
      database.exec("COMMIT");
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
    from = to;
    yield;
  }
}
