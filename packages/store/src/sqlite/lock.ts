import { DatabaseSync } from "node:sqlite";
import { StoreError } from "../errors.ts";

/**
 * Takes the store for this process until disposed. The watch feed knows only commits of its own process, so a second
 * writer would be invisible. An SQLite file held in an exclusive transaction is the lock: the kernel frees it whatever
 * becomes of the process.
 */
export function lockStore(path: string): Disposable {
  const database = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new StoreError(`the store ${path} is in use by another process`, {
      code: "Locked",
      object: path,
      remedy: "Stop the other Isopod that uses this data directory, or give this one its own with --data-dir.",
      cause,
    });
  }
  return { [Symbol.dispose]: () => database.close() };
}
