import type { DatabaseSync } from "node:sqlite";

const schemaVersion = 1;

/**
 * One append-only table, as in kine: the row id is the revision, and (key, previous revision) is unique, so that two
 * writers that saw the same version cannot both succeed. A deletion is a row of its own without a value.
 */
const schema = `
CREATE TABLE log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  create_revision INTEGER NOT NULL,
  previous_revision INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  value BLOB
);
CREATE UNIQUE INDEX log_key_previous ON log (key, previous_revision);
CREATE INDEX log_key_id ON log (key, id, deleted);
CREATE TABLE compaction (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL);
INSERT INTO compaction (only, revision) VALUES (1, 0);
PRAGMA user_version = ${schemaVersion};
`;

/** Makes the tables in a new file; refuses a file of another version. */
export function ensureSchema(database: DatabaseSync): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (version === schemaVersion) return;
  if (version !== 0) {
    throw new Error(
      `its schema version is ${version}, and this Isopod knows ${schemaVersion}; start the Isopod that wrote it, or use another data directory`,
    );
  }
  database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
}

/** The newest revision ever given out, even when its row has been compacted away. */
export function newestRevision(database: DatabaseSync): number {
  return Number(database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'log'").get()?.["seq"] ?? 0);
}

export function compactedRevision(database: DatabaseSync): number {
  return Number(database.prepare("SELECT revision FROM compaction").get()?.["revision"] ?? 0);
}
