import { type FileHandle, open, rm } from "node:fs/promises";
import { type Logger, systemErrorCode } from "@isopod/base";
import type { ScratchDisk, ScratchDisks } from "./contract.ts";
import { ext4Template } from "./ext4-template.ts";
import { emptyQcow2 } from "./qcow2.ts";
import { scratchError, VolumeError } from "./volume-error.ts";

export interface ScratchDisksOptions {
  /** Where the templates are kept, one file per size; made if it does not exist. */
  readonly directory: string;
  readonly logger: Logger;
}

const mebibyte = 1024 * 1024;
const minSizeBytes = 16 * mebibyte;
/** The most an ext4 with 32-bit block numbers could hold; nobody is sold a larger one. */
const maxSizeBytes = 16 * mebibyte * mebibyte;

export function createScratchDisks(options: ScratchDisksOptions): ScratchDisks {
  const templates = new Map<number, Promise<string>>();

  /** One making per size at a time; a failed one is forgotten, so that the next call tries again. */
  function template(sizeBytes: number): Promise<string> {
    let making = templates.get(sizeBytes);
    if (making === undefined) {
      making = ext4Template(options.directory, sizeBytes).finally(() => templates.delete(sizeBytes));
      templates.set(sizeBytes, making);
    }
    return making;
  }

  return {
    async create(path, sizeBytes, userId, signal): Promise<ScratchDisk> {
      checkSize(path, sizeBytes);
      signal?.throwIfAborted();
      const backingPath = await template(sizeBytes);
      signal?.throwIfAborted();
      try {
        await writeQcow2(path, sizeBytes, userId);
      } catch (error) {
        await rm(path, { force: true });
        throw scratchError("making a scratch disk", path, error);
      }
      options.logger.debug({ path, backingPath, sizeBytes, userId }, "made a scratch disk");
      return { path, backingPath, sizeBytes };
    },
  };
}

/** Not synced: a scratch disk that a power loss catches belongs to a VM that is gone too. */
async function writeQcow2(path: string, sizeBytes: number, userId: number): Promise<void> {
  const image = emptyQcow2(sizeBytes);
  await using file = await openNew(path);
  // In any order: nobody reads it before all of it is there.
  await Promise.all([
    ...image.extents.map(async ({ offset, bytes }) => await file.write(bytes, 0, bytes.length, offset)),
    // Longer than all its pieces: what lies between them stays a hole.
    file.truncate(image.fileSizeBytes),
    file.chown(userId, userId),
  ]);
}

/** A file of its own, also where one was before: what has that open keeps it to itself. */
async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
    await rm(path, { force: true });
    return await open(path, "wx", 0o600);
  }
}

function checkSize(path: string, sizeBytes: number): void {
  const isWhole = Number.isSafeInteger(sizeBytes) && sizeBytes % mebibyte === 0;
  if (isWhole && sizeBytes >= minSizeBytes && sizeBytes <= maxSizeBytes) return;
  throw new VolumeError(`a scratch disk cannot have ${sizeBytes} bytes`, {
    code: "InvalidSize",
    object: path,
    remedy: "Ask for a multiple of 1 MiB from 16 MiB to 16 TiB.",
  });
}
