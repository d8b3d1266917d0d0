import type { DatabaseSync, StatementSync } from "node:sqlite";

/** The newest row of a key. */
export interface NewestRow {
  readonly revision: number;
  readonly createRevision: number;
  readonly isDeleted: boolean;
}

/**
 * The prepared statements of the writing thread. Plain statements and not a query builder: there are two of them, and
 * they run thousands of times a second.
 */
export class LogWriter {
  readonly #newest: StatementSync;
  readonly #append: StatementSync;
  #nextRevision: number;

  constructor(database: DatabaseSync, newestRevision: number) {
    this.#newest = database.prepare(
      "SELECT id, create_revision, deleted FROM log WHERE key = ? ORDER BY id DESC LIMIT 1",
    );
    this.#append = database.prepare(
      "INSERT INTO log (id, key, create_revision, previous_revision, deleted, value) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#nextRevision = newestRevision + 1;
  }

  newest(key: string): NewestRow | undefined {
    const row = this.#newest.get(key);
    if (row === undefined) return undefined;
    return {
      revision: Number(row["id"]),
      createRevision: Number(row["create_revision"]),
      isDeleted: row["deleted"] !== 0,
    };
  }

  /** Appends a row and returns its revision; `createRevision` undefined means "this one creates the key". */
  append(
    key: string,
    createRevision: number | undefined,
    previousRevision: number,
    value: Uint8Array<ArrayBuffer> | undefined,
  ): number {
    const revision = this.#nextRevision;
    this.#append.run(
      revision,
      key,
      createRevision ?? revision,
      previousRevision,
      value === undefined ? 1 : 0,
      value ?? null,
    );
    this.#nextRevision++;
    return revision;
  }

  /** A rolled-back transaction gave out revisions that nobody saw: they are given out again. */
  rewind(newestRevision: number): void {
    this.#nextRevision = newestRevision + 1;
  }

  get newestRevision(): number {
    return this.#nextRevision - 1;
  }
}
