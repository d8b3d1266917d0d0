import { StoreError } from "../errors.ts";
import type { LogWriter } from "./log-writer.ts";
import type { WriteDone } from "./wire.ts";

export function create(log: LogWriter, key: string, value: Uint8Array<ArrayBuffer>): WriteDone {
  const newest = log.newest(key);
  if (newest !== undefined && !newest.isDeleted) {
    throw new StoreError(`key ${key} exists already`, { code: "AlreadyExists", object: key });
  }
  const previousRevision = newest?.revision ?? 0;
  const revision = log.append(key, undefined, previousRevision, value);
  return { revision, createRevision: revision, previousRevision };
}
