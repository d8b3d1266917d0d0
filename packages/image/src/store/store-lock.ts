import { setTimeout as delay } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { ImageError } from "../image-error.ts";

/** How long a new process waits for the one before it to be gone. */
const waitMs = 10_000;
const pollMs = 50;

/**
 * Makes one process the only one that changes a store's directory. Node has no `flock`, but SQLite takes a lock of the
 * kernel, which goes with the process however that ends: there is no stale lock to judge. Throws `StoreLocked`.
 */
export async function lockStore(directory: string): Promise<Disposable> {
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const database = new DatabaseSync(join(directory, "store.lock"));
    try {
      // Nothing is ever written, so no journal is needed.
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      return { [Symbol.dispose]: () => database.close() };
    } catch (error) {
      database.close();
      if (!(error instanceof Error) || !/locked/.test(error.message)) throw error;
      if (performance.now() >= deadlineMs) {
        throw new ImageError(`another process uses the image store ${directory}`, {
          code: "StoreLocked",
          stage: "store",
          object: directory,
          cause: error,
        });
      }
    }
    await delay(pollMs);
  }
}
