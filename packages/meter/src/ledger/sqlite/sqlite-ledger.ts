import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import type { Ledger, LedgerEntry, LedgerQuery } from "../contract.ts";
import { LedgerError } from "../ledger-error.ts";

/**
 * One table nobody can rewrite: triggers refuse UPDATE and DELETE, so a mistake in our own code cannot change a bill.
 * FULL makes a committed entry survive a power loss.
 */
const schema = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    segment TEXT NOT NULL,
    pod_name TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    node_name TEXT NOT NULL,
    cpu_milli INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    state TEXT NOT NULL,
    start_micros INTEGER NOT NULL,
    end_micros INTEGER NOT NULL CHECK (end_micros >= start_micros),
    end_cause TEXT NOT NULL,
    labels TEXT NOT NULL,
    UNIQUE (namespace, segment)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS ledger_time ON ledger (namespace, start_micros);
  CREATE INDEX IF NOT EXISTS ledger_pod ON ledger (pod_uid);
  CREATE TRIGGER IF NOT EXISTS ledger_keeps BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
  CREATE TRIGGER IF NOT EXISTS ledger_stays BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
`;

/** Opens, or makes, the ledger in one SQLite file. */
export function openSqliteLedger(path: string): Ledger {
  const database = translated(path, () => {
    const opened = new DatabaseSync(path, { timeout: 5000 });
    opened.exec(schema);
    return opened;
  });
  const insert = database.prepare(
    `INSERT INTO ledger (namespace, segment, pod_name, pod_uid, node_name, cpu_milli, memory_mib, state, start_micros,
      end_micros, end_cause, labels) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, segment) DO NOTHING`,
  );
  const find = database.prepare("SELECT 1 FROM ledger WHERE namespace = ? AND segment = ?");
  const select = database.prepare(
    `SELECT * FROM ledger WHERE (:namespace IS NULL OR namespace = :namespace)
      AND (:since IS NULL OR end_micros >= :since) AND (:until IS NULL OR start_micros < :until) ORDER BY start_micros, id`,
  );
  const selectOfPods = database.prepare(
    "SELECT * FROM ledger WHERE pod_uid IN (SELECT value FROM json_each(?)) ORDER BY start_micros, id",
  );
  for (const statement of [select, selectOfPods]) statement.setReadBigInts(true);
  return {
    append: async (entry) => {
      translated(path, () =>
        insert.run(
          entry.namespace,
          entry.segment,
          entry.podName,
          entry.podUID,
          entry.nodeName,
          entry.cpuMilli,
          entry.memoryMiB,
          entry.state,
          entry.startMicros,
          entry.endMicros,
          entry.endCause,
          JSON.stringify(entry.labels),
        ),
      );
    },
    has: async (namespace, segment) => translated(path, () => find.get(namespace, segment)) !== undefined,
    list: async (query: LedgerQuery = {}) =>
      translated(path, () =>
        select.all({
          namespace: query.namespace ?? null,
          since: query.sinceMicros ?? null,
          until: query.untilMicros ?? null,
        }),
      ).map(entryOf),
    listOfPods: async (podUIDs) => translated(path, () => selectOfPods.all(JSON.stringify(podUIDs))).map(entryOf),
    [Symbol.asyncDispose]: async () => database.close(),
  };
}

function entryOf(row: Readonly<Record<string, SQLOutputValue>>): LedgerEntry {
  return {
    segment: String(row["segment"]),
    namespace: String(row["namespace"]),
    podName: String(row["pod_name"]),
    podUID: String(row["pod_uid"]),
    nodeName: String(row["node_name"]),
    cpuMilli: Number(row["cpu_milli"]),
    memoryMiB: Number(row["memory_mib"]),
    state: row["state"] === "Paused" ? "Paused" : "Running",
    startMicros: BigInt(String(row["start_micros"])),
    endMicros: BigInt(String(row["end_micros"])),
    endCause: String(row["end_cause"]),
    labels: JSON.parse(String(row["labels"])) as Record<string, string>,
  };
}

/** SQLITE_FULL and SQLITE_IOERR_WRITE: the disk, not the ledger, is to blame. */
const fullCodes = new Set([13, 778]);

function translated<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const code = cause instanceof Error && "errcode" in cause ? Number(cause.errcode) : 0;
    const isFull = fullCodes.has(code);
    throw new LedgerError(isFull ? `no space left for the ledger ${path}` : `the ledger ${path} failed`, {
      code: isFull ? "NoSpace" : "Unavailable",
      stage: "meter",
      object: path,
      remedy: isFull
        ? "Free space on that file system; what is not recorded yet is recorded then."
        : "Check the file and its permissions; what is not recorded yet is recorded once it opens.",
      cause,
    });
  }
}
