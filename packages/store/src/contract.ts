/**
 * A revisioned key-value store: what an API server needs of etcd, no more.
 *
 * One append-only log; the row id *is* the revision, so revisions are one monotonic sequence over all keys.
 * Keys are `/`-separated paths (`/pods/default/web`); values are opaque bytes.
 */
export interface StoredValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision of the write that made this version. */
  readonly modRevision: number;
  /** Revision of the write that created the key. */
  readonly createRevision: number;
}

export interface StoreEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  /** Revision of this event; watchers see strictly increasing ones. */
  readonly revision: number;
  /** The new version; for a delete, the last version before it. */
  readonly current: StoredValue;
  /** The version before, when there was one. */
  readonly previous: StoredValue | undefined;
}

export interface ListResult {
  /** The revision the list is true of. */
  readonly revision: number;
  readonly items: readonly StoredValue[];
  /** Keys under the prefix beyond the ones returned; 0 when the list is complete. With `skipCount`: 1 when there are any. */
  readonly remainingCount: number;
}

export interface ListOptions {
  /** Exclusive: only keys after this one. */
  readonly after?: string;
  readonly limit?: number;
  /** Reads the past; throws `Compacted` when it is gone. */
  readonly revision?: number;
  /** Counting what a limit leaves out costs a pass over it: for callers that only want to know whether it exists. */
  readonly skipCount?: boolean;
}

/** What a watch yields: all events known at that moment; none at all is a progress mark. */
export interface WatchBatch {
  /** Everything under the prefix up to this revision has now been seen. */
  readonly revision: number;
  readonly events: readonly StoreEvent[];
}

/**
 * Throws only `StoreError`. Codes: `AlreadyExists`, `NotFound`, `Conflict` (another revision is current), `Compacted`, `FutureRevision`, `NoSpace`, `Closed`,
 * `Failed` (the storage underneath). Values handed out are shared: nobody may write into them.
 */
export interface Store extends AsyncDisposable {
  /** Revision of the newest committed write. */
  currentRevision(): Promise<number>;
  get(key: string, revision?: number): Promise<StoredValue | undefined>;
  /** Keys in byte order. */
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  /** Returns once the write is durable. Throws `AlreadyExists`. */
  create(key: string, value: Uint8Array): Promise<StoredValue>;
  /** Throws `NotFound`, or `Conflict` unless `expectedRevision` is the key's current one. */
  update(key: string, value: Uint8Array, expectedRevision: number): Promise<StoredValue>;
  /** Returns the deleted version with `modRevision` = the revision of the delete. */
  delete(key: string, expectedRevision: number): Promise<StoredValue>;
  /**
   * Every event under `prefix` with a revision above `afterRevision`, in order, without gap or repetition, until the
   * signal aborts (the iterator then ends) or the watcher falls behind the compacted history (`Compacted`).
   * Yields a first batch, perhaps empty, as soon as it has caught up, and progress marks from time to time.
   */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch>;
  /** Forgets history at or below `revision`, keeping current versions. */
  compact(revision: number): Promise<void>;
}
