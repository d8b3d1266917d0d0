import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { silentLogger } from "@isopod/base";
import type { ImageStore } from "../contract.ts";
import { type ImageErrorCode, isImageError } from "../image-error.ts";
import { type OpenImageStoreOptions, openImageStore } from "../store/open-image-store.ts";

export async function openStore(directory: string, options: Partial<OpenImageStoreOptions> = {}): Promise<ImageStore> {
  return await openImageStore({ directory, logger: silentLogger, ...options });
}

/** Names of the files of a store, temporary ones included, the lock left out. */
export async function filesIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name !== "store.lock").map((entry) => entry.name);
}

/** For assert.rejects: the error must be ours and have this code. */
export function isError(code: ImageErrorCode): (error: unknown) => boolean {
  return (error) => isImageError(error, code) || assert.fail(`expected ${code}, got ${String(error)}`);
}
