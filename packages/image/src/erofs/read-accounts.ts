import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import type { ImageAccounts } from "../contract.ts";
import { blockSize } from "./format.ts";
import type { DirectoryInode } from "./image-tree.ts";

/** Real files have a few kilobytes; they are kept in memory for every image. */
const maxAccountsBytes = 64 * 1024;

/**
 * The image's account files, from the data blobs of its layers. Undefined when what a process in a container would find
 * there is not plain: a symbolic link on the way, no regular file, more than 64 KiB, or no text. Throws errors of the
 * file system.
 */
export function readAccounts(root: DirectoryInode, dataPathOfLayer: readonly string[]): ImageAccounts | undefined {
  const etc = root.children.get("etc");
  if (etc === undefined) return { passwd: "", group: "" };
  if (etc.type !== "directory") return undefined;
  const passwd = readText(etc, "passwd", dataPathOfLayer);
  const group = readText(etc, "group", dataPathOfLayer);
  return passwd === undefined || group === undefined ? undefined : { passwd, group };
}

function readText(directory: DirectoryInode, name: string, dataPathOfLayer: readonly string[]): string | undefined {
  const inode = directory.children.get(name);
  if (inode === undefined) return "";
  const path = inode.type === "file" && inode.sizeBytes <= maxAccountsBytes ? dataPathOfLayer[inode.layer] : undefined;
  if (inode.type !== "file" || path === undefined) return undefined;
  const content = Buffer.alloc(inode.sizeBytes);
  const fd = openSync(path, "r");
  try {
    let done = 0;
    for (let count = -1; count !== 0 && done < content.length; done += count) {
      count = readSync(fd, content, done, content.length - done, inode.startBlock * blockSize + done);
    }
    return done === content.length && isUtf8(content) ? content.toString() : undefined;
  } finally {
    closeSync(fd);
  }
}
