export {
  type ListOptions,
  type ListResult,
  type Store,
  type StoredValue,
  type StoreEvent,
  type WatchBatch,
} from "./contract.ts";
export { isStoreError, StoreError, type StoreErrorCode, storeErrorCodes } from "./errors.ts";
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/open.ts";
