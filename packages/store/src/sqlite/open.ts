import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, isAbort, type Logger, silentLogger } from "@isopod/base";
import type { Store } from "../contract.ts";
import { runCompaction } from "./compaction-loop.ts";
import { lockStore } from "./lock.ts";
import { SqliteStore } from "./sqlite-store.ts";

export interface SqliteStoreOptions {
  /** The database file; its directory is made when missing. `<path>-wal`, `-shm` and `.lock` lie beside it. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** Versions younger than this can be read and watched from; default 5 minutes. */
  readonly historyMs?: number;
  /** At most this many revisions of history are kept, however young; default 200,000. */
  readonly historyRevisions?: number;
  /** How often an idle watch tells its progress; default 5 s. */
  readonly progressIntervalMs?: number;
  /** The file grows to this at most, then writes fail with `NoSpace`; default: as large as the disk allows. */
  readonly maxSizeBytes?: number;
}

/**
 * Opens the embedded store: SQLite in WAL mode with `synchronous=FULL`, one process at a time.
 * Throws `Locked` when another process has it, `Failed` when the file cannot be used.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  await mkdir(dirname(options.path), { recursive: true });
  const lock = lockStore(options.path);
  try {
    const store = await SqliteStore.open(options.path, options.maxSizeBytes);
    return runningStore(store, lock, options);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** The store together with its background loops: closing it ends them and frees the lock. */
function runningStore(store: SqliteStore, lock: Disposable, options: SqliteStoreOptions): Store {
  const { clock, logger = silentLogger, historyMs = 300_000, historyRevisions = 200_000 } = options;
  const stop = new AbortController();
  const loops = Promise.all([
    runCompaction(store, clock, logger, { historyMs, historyRevisions }, stop.signal),
    runProgress(store, clock, options.progressIntervalMs ?? 5000, stop.signal),
  ]);
  const closeStore = store[Symbol.asyncDispose].bind(store);
  return Object.assign(store, {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await closeStore();
      await loops;
      lock[Symbol.dispose]();
    },
  });
}

async function runProgress(store: SqliteStore, clock: Clock, intervalMs: number, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(intervalMs, signal);
      store.markProgress();
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}
