import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/** Writes a new file, all of it, and waits for the disk. Synchronous, for worker threads. */
export function writeDurably(path: string, content: Uint8Array): void {
  const fd = openSync(path, "wx", 0o644);
  try {
    for (let done = 0; done < content.length; ) done += writeSync(fd, content, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
