import { loaderPath, rehearsalChild, rehearsalLoader, rehearsalProgram } from "./rehearsal-program.ts";

/** As in `placeholder-image.ts`, but for what the images of containers have besides. */
const blockSize = 4096;
const superblockOffset = 1024;
const magic = 0xe0f5e1e2;
/** A checksum is present; times in inodes are modification times. */
const compatibleFeatures = 0x1 | 0x2;
const slotBytes = 32;
const inodeBytes = 64;
/** Extended inodes: data in blocks of its own, or behind the inode. */
const plainFormat = 0b0001;
const inlineFormat = 0b0101;

const kinds = {
  file: { mode: 0o100755, type: 1 },
  directory: { mode: 0o040755, type: 2 },
  link: { mode: 0o120777, type: 7 },
} as const;

interface Entry {
  readonly path: string;
  readonly kind: keyof typeof kinds;
  readonly content: Buffer;
}

/** Neither /proc nor /sys nor /dev: a prepared container would keep them in use. */
function entries(): readonly Entry[] {
  const directory = (path: string): Entry => ({ path, kind: "directory", content: Buffer.alloc(0) });
  const link = (path: string, to: string): Entry => ({ path, kind: "link", content: Buffer.from(to) });
  const file = (path: string, content: Buffer): Entry => ({ path, kind: "file", content });
  return [
    directory("/"),
    link("/bin", "usr/bin"),
    directory("/etc"),
    file("/etc/passwd", Buffer.from("root:x:0:0:root:/root:/bin/sh\n")),
    directory("/lib"),
    file(loaderPath, rehearsalLoader()),
    directory("/tmp"),
    directory("/usr"),
    directory("/usr/bin"),
    file("/usr/bin/rehearsal", rehearsalProgram()),
    link("/usr/bin/sh", "/usr/bin/rehearsal"),
    file("/usr/bin/true", rehearsalChild()),
  ];
}

/**
 * A small EROFS image for the slot of the image disk while a start is rehearsed (see `rehearse`): made as images of
 * containers are, with a program that is found by its PATH behind symbolic links and reads files of the image.
 */
export function rehearsalImage(): Buffer {
  const all = entries();
  const offsets = new Map<string, number>();
  let nextOffset = blockSize;
  for (const { path, kind, content } of all) {
    offsets.set(path, nextOffset);
    const inline = kind === "directory" ? directoryContent(path, all, offsets).length : content.length;
    nextOffset = align(nextOffset + inodeBytes + (kind === "file" ? 0 : inline), inodeBytes);
  }
  const blocks: Buffer[] = [Buffer.alloc(align(nextOffset, blockSize))];
  const head = blocks[0] ?? Buffer.alloc(0);
  let nextBlock = head.length / blockSize;
  for (const [index, { path, kind, content }] of all.entries()) {
    const offset = offsets.get(path) ?? 0;
    const own = kind === "directory" ? directoryContent(path, all, offsets) : content;
    head.writeUInt16LE(kind === "file" ? plainFormat : inlineFormat, offset);
    head.writeUInt16LE(kinds[kind].mode, offset + 4);
    head.writeBigUInt64LE(BigInt(own.length), offset + 8);
    head.writeUInt32LE(index + 1, offset + 20);
    head.writeUInt32LE(kind === "directory" ? 2 + childrenOf(path, all, "directory").length : 1, offset + 44);
    if (kind !== "file") {
      own.copy(head, offset + inodeBytes);
      continue;
    }
    head.writeUInt32LE(nextBlock, offset + 16);
    const data = Buffer.alloc(align(own.length, blockSize));
    own.copy(data);
    blocks.push(data);
    nextBlock += data.length / blockSize;
  }
  const at = superblockOffset;
  head.writeUInt32LE(magic, at);
  head.writeUInt32LE(compatibleFeatures, at + 8);
  head.writeUInt8(Math.log2(blockSize), at + 12);
  head.writeUInt16LE((offsets.get("/") ?? 0) / slotBytes, at + 14);
  head.writeBigUInt64LE(BigInt(all.length), at + 16);
  head.writeUInt32LE(nextBlock, at + 36);
  head.write("rehearsal", at + 64, "latin1");
  head.writeUInt32LE(checksum(head.subarray(at, blockSize)), at + 4);
  return Buffer.concat(blocks);
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

function childrenOf(path: string, all: readonly Entry[], kind?: Entry["kind"]): readonly Entry[] {
  return all.filter(
    (entry) => entry.path !== "/" && parentOf(entry.path) === path && (kind === undefined || entry.kind === kind),
  );
}

/** Entries of 12 bytes, then their names, sorted by these. */
function directoryContent(path: string, all: readonly Entry[], offsets: ReadonlyMap<string, number>): Buffer {
  const names = [
    { name: ".", path, kind: kinds.directory },
    { name: "..", path: parentOf(path), kind: kinds.directory },
    ...childrenOf(path, all).map((entry) => ({
      name: entry.path.slice(entry.path.lastIndexOf("/") + 1),
      path: entry.path,
      kind: kinds[entry.kind],
    })),
  ];
  const bytes = Buffer.alloc(names.reduce((sum, { name }) => sum + 12 + name.length, 0));
  let nameOffset = names.length * 12;
  for (const [index, entry] of names.entries()) {
    bytes.writeBigUInt64LE(BigInt((offsets.get(entry.path) ?? 0) / slotBytes), index * 12);
    bytes.writeUInt16LE(nameOffset, index * 12 + 8);
    bytes.writeUInt8(entry.kind.type, index * 12 + 10);
    bytes.write(entry.name, nameOffset, "latin1");
    nameOffset += entry.name.length;
  }
  return bytes;
}

/** CRC-32C as the kernel's `crc32c(~0, …)`, of the rest of the superblock's block with this field zero. */
function checksum(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    // The reversed Castagnoli polynomial.
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return crc >>> 0;
}
