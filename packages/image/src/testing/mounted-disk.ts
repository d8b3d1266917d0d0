import { mkdir, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, temporaryDirectory } from "@isopod/base";
import type { DiskPart } from "../contract.ts";

/** Puts the parts of an image's disk into one file, holes kept. */
export async function joinDisk(parts: readonly DiskPart[], path: string): Promise<void> {
  const output = await open(path, "wx");
  try {
    let offset = 0;
    for (const part of parts) {
      const { size } = await stat(part.path);
      if (size !== part.sizeBytes || size % 4096 !== 0) throw new Error(`${part.path} has ${size} bytes`);
      offset += size;
    }
    await output.truncate(offset);
  } finally {
    await output.close();
  }
  let seek = 0;
  for (const part of parts) {
    const where = [`if=${part.path}`, `of=${path}`, `seek=${seek}`];
    await runCommand("dd", [...where, "bs=256K", "oflag=seek_bytes", "conv=notrunc,sparse"]);
    seek += part.sizeBytes;
  }
}

/** Runs `fsck.erofs` over a disk; throws when it finds anything. */
export async function checkDisk(path: string): Promise<void> {
  await runCommand("fsck.erofs", [path]);
}

export interface MountedDisk extends AsyncDisposable {
  readonly root: string;
}

/** Joins, checks and mounts an image's disk, read-only, by the host's kernel. */
export async function mountDisk(parts: readonly DiskPart[]): Promise<MountedDisk> {
  const directory = await temporaryDirectory("isopod-erofs-");
  const disk = join(directory.path, "disk");
  const root = join(directory.path, "root");
  try {
    await joinDisk(parts, disk);
    await checkDisk(disk);
    await mkdir(root);
    await runCommand("mount", ["-t", "erofs", "-o", "loop,ro", disk, root]);
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
  return {
    root,
    [Symbol.asyncDispose]: async () => {
      await runCommand("umount", [root]);
      await directory[Symbol.asyncDispose]();
    },
  };
}
