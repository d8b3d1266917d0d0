/**
 * What passes between the two threads of the SQLite store.
 *
 * The main thread reads; a worker thread writes, so that the fsync of a commit (4 ms on a cloud disk) never stops the
 * main thread. While a commit is under way the next writes gather on the main thread and make up the next batch: group
 * commit without a timer, and an idle store commits a single write at once.
 */
import type { StoreErrorCode } from "../errors.ts";

export interface WriteOperation {
  readonly verb: "create" | "update" | "delete";
  readonly key: string;
  /** The key's current revision for update and delete; ignored by create. */
  readonly expectedRevision: number;
  /** Where the value lies in the batch's `values`. */
  readonly offset: number;
  readonly length: number;
}

export interface WriteDone {
  readonly revision: number;
  readonly createRevision: number;
  /** Revision of the key's row before, a tombstone included; 0 when there was none. */
  readonly previousRevision: number;
}

export interface WriteFailed {
  readonly code: StoreErrorCode;
  readonly message: string;
}

export type WriteOutcome = WriteDone | WriteFailed;

export type WorkerRequest =
  | {
      readonly type: "commit";
      readonly operations: readonly WriteOperation[];
      readonly values: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: "compact"; readonly revision: number }
  | { readonly type: "close" };

export type WorkerReply =
  | { readonly type: "ready"; readonly currentRevision: number; readonly compactedRevision: number }
  | { readonly type: "committed"; readonly outcomes: readonly WriteOutcome[] }
  /** The whole batch was rolled back. */
  | { readonly type: "rolled-back"; readonly failure: WriteFailed }
  | { readonly type: "compacted"; readonly failure?: WriteFailed }
  | { readonly type: "closed" }
  /** The file could not be opened. */
  | { readonly type: "unusable"; readonly failure: WriteFailed };

export interface WorkerOptions {
  readonly path: string;
  readonly maxSizeBytes: number | undefined;
}
