import { blockSize, directoryEntryBytes } from "./format.ts";

/** A name in a directory, with the number and kind of its inode. */
export interface DirectoryEntry {
  readonly name: string;
  readonly inodeNumber: number;
  readonly typeCode: number;
}

/** How a directory's names fall into blocks. */
export interface DirectoryShape {
  /** Names with `.` and `..`, in byte order: lookups are binary searches across blocks, then inside one. */
  readonly names: readonly string[];
  /** For each block, the number of its names. */
  readonly namesPerBlock: readonly number[];
  /** All blocks but the last are whole; this is what the last one uses. */
  readonly lastBlockBytes: number;
}

export function shapeDirectory(children: Iterable<string>): DirectoryShape {
  // Strings hold one byte per character, so comparing them compares bytes.
  const names = [".", "..", ...children].toSorted((one, other) => (one < other ? -1 : 1));
  const namesPerBlock: number[] = [];
  let used = 0;
  let count = 0;
  for (const name of names) {
    const size = directoryEntryBytes + name.length;
    if (used + size > blockSize) {
      namesPerBlock.push(count);
      used = 0;
      count = 0;
    }
    used += size;
    count++;
  }
  namesPerBlock.push(count);
  return { names, namesPerBlock, lastBlockBytes: used };
}

export function directorySize(shape: DirectoryShape): number {
  return (shape.namesPerBlock.length - 1) * blockSize + shape.lastBlockBytes;
}

/** Writes one block: all entries, then all names; the unused rest stays zero. */
export function writeDirectoryBlock(buffer: Buffer, offset: number, entries: readonly DirectoryEntry[]): void {
  let nameOffset = entries.length * directoryEntryBytes;
  for (const [index, entry] of entries.entries()) {
    const at = offset + index * directoryEntryBytes;
    // Numbers stay far below 2^53; the field has 64 bits.
    buffer.writeUInt32LE(entry.inodeNumber % 2 ** 32, at);
    buffer.writeUInt32LE(Math.floor(entry.inodeNumber / 2 ** 32), at + 4);
    buffer.writeUInt16LE(nameOffset, at + 8);
    buffer.writeUInt8(entry.typeCode, at + 10);
    nameOffset += buffer.write(entry.name, offset + nameOffset, "latin1");
  }
}
