/**
 * The body of the store's worker thread: it alone writes. See wire.ts for why.
 * What it imports is loaded a second time for this thread: nothing of other packages, so that it stays small.
 */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { commit } from "./commit.ts";
import { compact } from "./compact.ts";
import { failureOf } from "./failure.ts";
import { LogWriter } from "./log-writer.ts";
import { compactedRevision, ensureSchema, newestRevision } from "./schema.ts";
import type { WorkerOptions, WorkerReply, WorkerRequest } from "./wire.ts";

const options: WorkerOptions = workerData;
const port = parentPort;
if (port === null) throw new Error("write-thread.ts runs as a worker thread only");
const reply = (message: WorkerReply) => port.postMessage(message);

function open(): DatabaseSync {
  const database = new DatabaseSync(options.path, { timeout: 5000 });
  database.exec("PRAGMA journal_mode = WAL");
  // FULL: COMMIT returns after the fsync of the log, the promise an acknowledged write rests on.
  database.exec("PRAGMA synchronous = FULL");
  // After a burst the log file shrinks back to this.
  database.exec(`PRAGMA journal_size_limit = ${16 * 1024 * 1024}`);
  if (options.maxSizeBytes !== undefined) {
    const pageSizeBytes = Number(database.prepare("PRAGMA page_size").get()?.["page_size"] ?? 4096);
    database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(options.maxSizeBytes / pageSizeBytes))}`);
  }
  ensureSchema(database);
  return database;
}

function run(database: DatabaseSync): void {
  const log = new LogWriter(database, newestRevision(database));
  let isClosed = false;

  const stepCompaction = (steps: Generator<void>) => {
    try {
      if (isClosed || steps.next().done === true) return reply({ type: "compacted" });
    } catch (error) {
      return reply({ type: "compacted", failure: failureOf(error, options.path) });
    }
    setImmediate(stepCompaction, steps);
  };

  port?.on("message", (request: WorkerRequest) => {
    switch (request.type) {
      case "commit":
        try {
          reply({ type: "committed", outcomes: commit(database, log, request.operations, request.values) });
        } catch (error) {
          reply({ type: "rolled-back", failure: failureOf(error, options.path) });
        }
        return;
      case "compact":
        return stepCompaction(compact(database, request.revision));
      case "close":
        isClosed = true;
        database.close();
        reply({ type: "closed" });
        port?.close();
    }
  });
  reply({ type: "ready", currentRevision: log.newestRevision, compactedRevision: compactedRevision(database) });
}

try {
  run(open());
} catch (error) {
  reply({ type: "unusable", failure: failureOf(error, options.path) });
  port.close();
}
