import { Worker } from "node:worker_threads";
import { StoreError } from "../errors.ts";
import type { WorkerOptions, WorkerReply, WorkerRequest, WriteDone, WriteFailed, WriteOperation } from "./wire.ts";

/** A batch is bounded so that one commit never grows to seconds. */
const maxBatchOperations = 1000;
const maxBatchBytes = 16 * 1024 * 1024;

export interface Write {
  readonly verb: WriteOperation["verb"];
  readonly key: string;
  readonly value: Uint8Array;
  readonly expectedRevision: number;
}

interface PendingWrite extends Write {
  readonly resolve: (done: WriteDone) => void;
  readonly reject: (error: StoreError) => void;
}

export interface Committed extends WriteDone {
  readonly write: Write;
}

/**
 * Writes wait here while the worker commits the batch before. `onCommitted` hears of each batch's successful writes,
 * in revision order, before their promises resolve.
 */
export class WriteQueue {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #onCommitted: (writes: readonly Committed[]) => void;
  #waiting: PendingWrite[] = [];
  #committing: readonly PendingWrite[] | undefined;
  #compaction: PromiseWithResolvers<void> | undefined;
  #isScheduled = false;
  #gone: StoreError | undefined;
  readonly #closed = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<{ currentRevision: number; compactedRevision: number }>();

  constructor(options: WorkerOptions, onCommitted: (writes: readonly Committed[]) => void) {
    this.#path = options.path;
    this.#onCommitted = onCommitted;
    this.#worker = new Worker(new URL("./write-thread.ts", import.meta.url), {
      workerData: options,
      name: "isopod-store",
      // A batch and its statements are all it ever holds.
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 },
    });
    this.#worker.on("message", (message: WorkerReply) => this.#receive(message));
    this.#worker.on("error", (cause) => this.#end("Failed", "the store's writing thread failed", cause));
    this.#worker.on("exit", () => this.#end("Closed", "the store is closed"));
  }

  /** Resolves when the file is open. */
  get ready(): Promise<{ readonly currentRevision: number; readonly compactedRevision: number }> {
    return this.#ready.promise;
  }

  /** Throws `Closed`, or `Failed` when the writing thread died. */
  assertOpen(): void {
    if (this.#gone !== undefined) throw this.#gone;
  }

  async write(write: Write): Promise<WriteDone> {
    this.assertOpen();
    return await new Promise<WriteDone>((resolve, reject) => {
      this.#waiting.push({ ...write, resolve, reject });
      this.#schedule();
    });
  }

  async compact(revision: number): Promise<void> {
    this.assertOpen();
    // One at a time: a second caller waits, then finds most of its work done.
    while (this.#compaction !== undefined) await this.#compaction.promise.catch(() => {});
    this.assertOpen();
    this.#compaction = Promise.withResolvers();
    this.#post({ type: "compact", revision });
    await this.#compaction.promise;
  }

  /** Lets writes already handed in finish. */
  async close(): Promise<void> {
    if (this.#gone === undefined) {
      this.#gone = new StoreError("the store is closed", { code: "Closed", object: this.#path });
      if (this.#isDrained) this.#post({ type: "close" });
    }
    await this.#closed.promise;
  }

  get #isDrained(): boolean {
    return this.#committing === undefined && this.#waiting.length === 0;
  }

  /** One turn of the event loop is given for writes that arrive together; a commit under way gathers the rest. */
  #schedule(): void {
    if (this.#isScheduled || this.#committing !== undefined) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#commitNext();
    });
  }

  #commitNext(): void {
    if (this.#committing !== undefined) return;
    if (this.#waiting.length === 0) {
      if (this.#gone !== undefined) this.#post({ type: "close" });
      return;
    }
    let sizeBytes = 0;
    let count = 0;
    for (const { value } of this.#waiting) {
      if (count === maxBatchOperations || (count > 0 && sizeBytes + value.length > maxBatchBytes)) break;
      sizeBytes += value.length;
      count++;
    }
    const batch = this.#waiting.splice(0, count);
    const values = new Uint8Array(sizeBytes);
    let offset = 0;
    const operations = batch.map(({ verb, key, value, expectedRevision }): WriteOperation => {
      values.set(value, offset);
      const operation = { verb, key, expectedRevision, offset, length: value.length };
      offset += value.length;
      return operation;
    });
    this.#committing = batch;
    this.#post({ type: "commit", operations, values }, [values.buffer]);
  }

  #post(request: WorkerRequest, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #receive(message: WorkerReply): void {
    switch (message.type) {
      case "ready":
        return this.#ready.resolve(message);
      case "unusable":
        return this.#ready.reject(storeErrorOf(message.failure, this.#path));
      case "committed": {
        const batch = this.#committing ?? [];
        this.#committing = undefined;
        this.#settle(batch, message.outcomes);
        return this.#commitNext();
      }
      case "rolled-back": {
        const batch = this.#committing ?? [];
        this.#committing = undefined;
        for (const { reject, key } of batch) reject(storeErrorOf(message.failure, key));
        return this.#commitNext();
      }
      case "compacted": {
        const compaction = this.#compaction;
        this.#compaction = undefined;
        if (message.failure === undefined) compaction?.resolve();
        else compaction?.reject(storeErrorOf(message.failure, this.#path));
        return;
      }
      case "closed":
        return;
    }
  }

  #settle(
    batch: readonly PendingWrite[],
    outcomes: Extract<WorkerReply, { readonly type: "committed" }>["outcomes"],
  ): void {
    const committed: Committed[] = [];
    for (const [index, write] of batch.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined && "revision" in outcome) committed.push({ ...outcome, write });
    }
    if (committed.length > 0) this.#onCommitted(committed);
    for (const [index, write] of batch.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined) write.reject(storeErrorOf({ code: "Failed", message: "no outcome" }, write.key));
      else if ("revision" in outcome) write.resolve(outcome);
      else write.reject(storeErrorOf(outcome, write.key));
    }
  }

  #end(code: "Failed" | "Closed", message: string, cause?: unknown): void {
    this.#gone ??= new StoreError(message, { code, object: this.#path, cause });
    const gone = this.#gone;
    this.#ready.promise.catch(() => {});
    this.#ready.reject(gone);
    for (const { reject } of [...(this.#committing ?? []), ...this.#waiting]) reject(gone);
    this.#committing = undefined;
    this.#waiting = [];
    this.#compaction?.reject(gone);
    this.#compaction = undefined;
    this.#closed.resolve();
  }
}

function storeErrorOf(failure: WriteFailed, object: string): StoreError {
  return new StoreError(failure.message, {
    code: failure.code,
    object,
    ...(failure.code === "NoSpace"
      ? { remedy: "Free space on the file system of the data directory; nothing acknowledged is lost." }
      : {}),
  });
}
