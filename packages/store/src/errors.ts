import { type ErrorDetails, IsopodError } from "@isopod/base";

export const storeErrorCodes = [
  /** `create` of a key that exists. */
  "AlreadyExists",
  /** `update` or `delete` of a key that does not exist. */
  "NotFound",
  /** Another revision of the key is current than the one the caller expected. */
  "Conflict",
  /** The revision asked for has been compacted away. */
  "Compacted",
  /** The revision asked for has not been written yet. */
  "FutureRevision",
  /** The disk, or the store's size limit, is full; nothing of the write was kept. */
  "NoSpace",
  /** The store was closed before the call was done. */
  "Closed",
  /** Another process has the store open. */
  "Locked",
  /** The storage underneath failed: an I/O error, a damaged file. */
  "Failed",
] as const;
export type StoreErrorCode = (typeof storeErrorCodes)[number];

export class StoreError extends IsopodError<StoreErrorCode> {
  constructor(message: string, details: ErrorDetails<StoreErrorCode>) {
    super(message, { stage: "store", ...details });
  }
}

export function isStoreError(error: unknown, code?: StoreErrorCode): error is StoreError {
  return error instanceof StoreError && (code === undefined || error.code === code);
}
