import type { ListOptions, ListResult, Store, StoredValue, StoreEvent, WatchBatch } from "../contract.ts";
import { StoreError } from "../errors.ts";
import { Broadcaster } from "./broadcaster.ts";
import { LogReader } from "./log-reader.ts";
import { type WatchSource, watch } from "./watch.ts";
import { type Committed, WriteQueue } from "./write-queue.ts";

/** The main thread's half of the SQLite store: reads, the watch feed, and the queue to the writing thread. */
export class SqliteStore implements Store {
  readonly #path: string;
  readonly #broadcaster = new Broadcaster();
  readonly #writes: WriteQueue;
  readonly #watchSource: WatchSource;
  #reader: LogReader | undefined;
  #currentRevision = 0;
  #compactedRevision = 0;
  #closing: Promise<void> | undefined;

  private constructor(path: string, maxSizeBytes: number | undefined) {
    this.#path = path;
    this.#writes = new WriteQueue({ path, maxSizeBytes }, (writes) => this.#announce(writes));
    this.#watchSource = {
      reader: () => this.#openReader(),
      broadcaster: this.#broadcaster,
      currentRevision: () => this.#currentRevision,
      compactedRevision: () => this.#compactedRevision,
    };
  }

  static async open(path: string, maxSizeBytes: number | undefined): Promise<SqliteStore> {
    const store = new SqliteStore(path, maxSizeBytes);
    const { currentRevision, compactedRevision } = await store.#writes.ready;
    store.#currentRevision = currentRevision;
    store.#compactedRevision = compactedRevision;
    store.#reader = new LogReader(path);
    return store;
  }

  async currentRevision(): Promise<number> {
    // The health checks of a server ask here: a store that cannot write is not well.
    this.#writes.assertOpen();
    return this.#currentRevision;
  }

  async get(key: string, revision?: number): Promise<StoredValue | undefined> {
    return this.#openReader().get(key, this.#readRevision(revision));
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    const reader = this.#openReader();
    const revision = this.#readRevision(options.revision);
    const after = options.after !== undefined && options.after > prefix ? options.after : prefix;
    const { limit } = options;
    // SQLite takes a negative limit for none.
    if (limit === undefined) return { revision, items: reader.list(prefix, after, revision, -1), remainingCount: 0 };
    // One more than asked for tells whether there are more.
    const items = reader.list(prefix, after, revision, limit + 1);
    if (items.length <= limit) return { revision, items, remainingCount: 0 };
    const page = items.slice(0, limit);
    const last = page.at(-1)?.key ?? after;
    return {
      revision,
      items: page,
      remainingCount: options.skipCount === true ? 1 : reader.count(prefix, last, revision),
    };
  }

  async create(key: string, value: Uint8Array): Promise<StoredValue> {
    const done = await this.#writes.write({ verb: "create", key, value, expectedRevision: 0 });
    return { key, value, modRevision: done.revision, createRevision: done.createRevision };
  }

  async update(key: string, value: Uint8Array, expectedRevision: number): Promise<StoredValue> {
    const done = await this.#writes.write({ verb: "update", key, value, expectedRevision });
    return { key, value, modRevision: done.revision, createRevision: done.createRevision };
  }

  async delete(key: string, expectedRevision: number): Promise<StoredValue> {
    const done = await this.#writes.write({ verb: "delete", key, value: new Uint8Array(0), expectedRevision });
    const deleted = this.#openReader().version(done.previousRevision);
    if (deleted === undefined) {
      throw new StoreError(`the last version of ${key} cannot be read`, { code: "Failed", object: key });
    }
    return { ...deleted, modRevision: done.revision };
  }

  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch> {
    if (afterRevision > this.#currentRevision) throw this.#futureRevision(afterRevision);
    return watch(this.#watchSource, prefix, afterRevision, signal);
  }

  async compact(revision: number): Promise<void> {
    this.#openReader();
    if (revision > this.#currentRevision) throw this.#futureRevision(revision);
    if (revision <= this.#compactedRevision) return;
    // Set first: a read of the past must be refused from the moment its rows begin to go.
    this.#compactedRevision = revision;
    await this.#writes.compact(revision);
  }

  /** Wakes watches so that those without events tell how far they are. */
  markProgress(): void {
    this.#broadcaster.wakeAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writes.close();
    this.#reader?.[Symbol.dispose]();
    this.#reader = undefined;
    this.#broadcaster.wakeAll();
  }

  #announce(writes: readonly Committed[]): void {
    const newest = writes.at(-1)?.revision ?? this.#currentRevision;
    this.#currentRevision = newest;
    const events = writes.filter(({ write }) => this.#broadcaster.wants(write.key)).map((done) => this.#event(done));
    this.#broadcaster.publish(events, newest);
  }

  #event({ write, revision, createRevision, previousRevision }: Committed): StoreEvent {
    const { key, value } = write;
    const previous = this.#openReader().version(previousRevision);
    const written: StoredValue = { key, value, modRevision: revision, createRevision };
    return write.verb === "delete"
      ? { type: "delete", key, revision, current: previous ?? written, previous }
      : { type: "put", key, revision, current: written, previous };
  }

  #readRevision(revision: number | undefined): number {
    if (revision === undefined) return this.#currentRevision;
    if (revision > this.#currentRevision) throw this.#futureRevision(revision);
    if (revision < this.#compactedRevision) {
      throw new StoreError(`revision ${revision} has been compacted; the oldest left is ${this.#compactedRevision}`, {
        code: "Compacted",
        object: this.#path,
      });
    }
    return revision;
  }

  #futureRevision(revision: number): StoreError {
    return new StoreError(`revision ${revision} is not written yet; the newest is ${this.#currentRevision}`, {
      code: "FutureRevision",
      object: this.#path,
    });
  }

  #openReader(): LogReader {
    if (this.#reader === undefined) throw new StoreError("the store is closed", { code: "Closed", object: this.#path });
    return this.#reader;
  }
}
