import { attributesCount, writeAttributes } from "./attribute-block.ts";
import { crc32c } from "./crc32c.ts";
import { type DirectoryEntry, directorySize, writeDirectoryBlock } from "./directory-block.ts";
import {
  blockSize,
  featureCompat,
  fileTypeCode,
  inodeBytes,
  inodeFormat,
  maxBlocks,
  modeBits,
  rootOffset,
  slotBytes,
  superblockMagic,
  superblockOffset,
} from "./format.ts";
import type { DirectoryInode, Inode } from "./image-tree.ts";
import { layOut, type Placement } from "./layout.ts";

export interface MetadataOptions {
  /** Sizes of the data blobs that follow the metadata on the disk, in this order. */
  readonly blobSizesBytes: readonly number[];
  /** For each layer, lowest first, which of the blobs is its own; equal layers share one. */
  readonly blobOfLayer: readonly number[];
  /** 16 bytes. */
  readonly uuid: Uint8Array;
}

/** The disk would be larger than EROFS can address. */
export class DiskTooLargeError extends Error {}

/**
 * The metadata blob of an image: everything of its file system but file contents. Put before the data blobs it makes
 * one EROFS disk. The same tree always gives the same bytes.
 */
export function writeMetadata(root: DirectoryInode, options: MetadataOptions): Buffer {
  const { placements, metadataBlocks } = layOut(root);
  const blobBlocks: number[] = [];
  let totalBlocks = metadataBlocks;
  for (const sizeBytes of options.blobSizesBytes) {
    blobBlocks.push(totalBlocks);
    totalBlocks += sizeBytes / blockSize;
  }
  const layerBlocks = options.blobOfLayer.map((blob) => blobBlocks[blob] ?? 0);
  if (totalBlocks > maxBlocks) throw new DiskTooLargeError(`the image's disk has ${totalBlocks} blocks of 4096 bytes`);

  const blob = Buffer.alloc(metadataBlocks * blockSize);
  const numbers = new Map<Inode, number>();
  for (const { inode, offset } of placements) numbers.set(inode, offset / slotBytes);
  const parents = parentsOf(root);
  for (const [index, placement] of placements.entries()) {
    writeInode(blob, placement, index + 1, layerBlocks);
    if (placement.inode.type === "directory") {
      writeDirectory(blob, placement, placement.inode, parents.get(placement.inode) ?? root, numbers);
    } else if (placement.inode.type === "symbolicLink") {
      blob.write(placement.inode.target, tailOffset(placement), "latin1");
    }
  }
  writeSuperblock(blob, placements.length, totalBlocks, options.uuid);
  return blob;
}

function parentsOf(root: DirectoryInode): ReadonlyMap<DirectoryInode, DirectoryInode> {
  const parents = new Map([[root, root]]);
  // A map's iterator goes on over what is added meanwhile.
  for (const directory of parents.keys()) {
    for (const child of directory.children.values()) if (child.type === "directory") parents.set(child, directory);
  }
  return parents;
}

/** Where the last (or only) piece of an inode's own data goes. */
function tailOffset(placement: Placement): number {
  if (placement.isInline) return placement.offset + inodeBytes + placement.attributesBytes;
  const blocks = placement.shape?.namesPerBlock.length ?? 1;
  return (placement.dataBlock + blocks - 1) * blockSize;
}

function writeInode(blob: Buffer, placement: Placement, ordinal: number, layerBlocks: readonly number[]): void {
  const { inode, offset } = placement;
  blob.writeUInt16LE(placement.isInline ? inodeFormat.inline : inodeFormat.plain, offset);
  blob.writeUInt16LE(attributesCount(placement.attributesBytes), offset + 2);
  blob.writeUInt16LE(modeBits[inode.type] | inode.mode, offset + 4);
  blob.writeBigUInt64LE(BigInt(sizeOf(placement)), offset + 8);
  blob.writeUInt32LE(addressOf(placement, layerBlocks), offset + 16);
  blob.writeUInt32LE(ordinal, offset + 20);
  blob.writeUInt32LE(inode.uid, offset + 24);
  blob.writeUInt32LE(inode.gid, offset + 28);
  blob.writeBigInt64LE(BigInt(inode.mtimeSeconds), offset + 32);
  blob.writeUInt32LE(inode.mtimeNanoseconds, offset + 40);
  blob.writeUInt32LE(placement.linkCount, offset + 44);
  writeAttributes(blob, offset + inodeBytes, inode.extendedAttributes);
}

function sizeOf({ inode, shape }: Placement): number {
  if (shape !== undefined) return directorySize(shape);
  if (inode.type === "file") return inode.sizeBytes;
  return inode.type === "symbolicLink" ? inode.target.length : 0;
}

/** Block of the data, or the device number in the kernel's encoding (`new_encode_dev`). */
function addressOf({ inode, dataBlock }: Placement, layerBlocks: readonly number[]): number {
  switch (inode.type) {
    case "file":
      return inode.sizeBytes === 0 ? 0 : (layerBlocks[inode.layer] ?? 0) + inode.startBlock;
    case "characterDevice":
    case "blockDevice": {
      const { deviceMajor, deviceMinor } = inode;
      return ((deviceMinor & 0xff) | (deviceMajor << 8) | ((deviceMinor & ~0xff) << 12)) >>> 0;
    }
    default:
      return dataBlock;
  }
}

function writeDirectory(
  blob: Buffer,
  placement: Placement,
  directory: DirectoryInode,
  parent: DirectoryInode,
  numbers: ReadonlyMap<Inode, number>,
): void {
  const shape = placement.shape;
  if (shape === undefined) return;
  let first = 0;
  for (const [block, count] of shape.namesPerBlock.entries()) {
    const entries = shape.names.slice(first, first + count).map((name): DirectoryEntry => {
      const inode = name === "." ? directory : name === ".." ? parent : directory.children.get(name);
      if (inode === undefined) throw new TypeError(`the directory has no ${name}`);
      return { name, inodeNumber: numbers.get(inode) ?? 0, typeCode: fileTypeCode[inode.type] };
    });
    const isLast = block === shape.namesPerBlock.length - 1;
    writeDirectoryBlock(blob, isLast ? tailOffset(placement) : (placement.dataBlock + block) * blockSize, entries);
    first += count;
  }
}

function writeSuperblock(blob: Buffer, inodeCount: number, totalBlocks: number, uuid: Uint8Array): void {
  const at = superblockOffset;
  blob.writeUInt32LE(superblockMagic, at);
  blob.writeUInt32LE(featureCompat, at + 8);
  blob.writeUInt8(Math.log2(blockSize), at + 12);
  blob.writeUInt16LE(rootOffset / slotBytes, at + 14);
  blob.writeBigUInt64LE(BigInt(inodeCount), at + 16);
  // Build time (24) stays 0: the bytes depend on the image alone. Metadata and attributes begin at block 0 (40, 44).
  blob.writeUInt32LE(totalBlocks, at + 36);
  blob.set(uuid, at + 48);
  blob.write("isopod", at + 64, "latin1");
  // Over the rest of block 0, with the field itself zero.
  blob.writeUInt32LE(crc32c(blob.subarray(at, blockSize)), at + 4);
}
