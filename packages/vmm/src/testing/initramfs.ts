/** A file of an initramfs: an executable or a directory. */
export type InitramfsEntry =
  | { readonly path: string; readonly content: Uint8Array }
  | { readonly path: string; readonly isDirectory: true };

/** A cpio archive in the "newc" form that the Linux kernel unpacks (Documentation/driver-api/early-userspace). */
export function initramfs(entries: readonly InitramfsEntry[]): Buffer {
  const pieces: Buffer[] = [];
  let lengthBytes = 0;
  const push = (piece: Uint8Array) => {
    const padding = (4 - ((lengthBytes + piece.length) % 4)) % 4;
    pieces.push(Buffer.from(piece), Buffer.alloc(padding));
    lengthBytes += piece.length + padding;
  };
  const add = (inode: number, path: string, mode: number, content: Uint8Array) => {
    const name = Buffer.from(`${path}\0`);
    // inode, mode, uid, gid, links, mtime, size, device numbers (4), name length, checksum
    const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    push(Buffer.concat([Buffer.from(header), name]));
    push(content);
  };
  for (const [index, entry] of entries.entries()) {
    if ("isDirectory" in entry) add(index + 1, entry.path, 0o040755, new Uint8Array());
    else add(index + 1, entry.path, 0o100755, entry.content);
  }
  add(0, "TRAILER!!!", 0, new Uint8Array());
  return Buffer.concat(pieces);
}
