import { crc32 } from "node:zlib";
import type { ExtendedAttribute } from "../tar/tar-entry.ts";
import { type LayerEntry, layerEntryTypes } from "./layer-entry.ts";

/** "ISOPIDX" and the version of the format; another version means: convert the layer again. */
const magic = "ISOPIDX1";
const headerBytes = 32;
/** The fixed part of an entry, before its names. */
const entryHeaderBytes = 52;

/** What a layer is made of: its entries in archive order, and the size of its data blob. */
export interface LayerIndex {
  readonly entries: readonly LayerEntry[];
  readonly blobSizeBytes: number;
}

/** The index file was cut, changed, or written by another version. */
export class LayerIndexError extends Error {}

/**
 * Collects entries in their binary form as they come, so that a layer of many entries costs bytes, not objects.
 * Little-endian; 8 bytes magic, 4 CRC-32 of what follows them, 4 entry count, 8 blob size, 8 body length, then entries.
 */
export class LayerIndexWriter {
  #body = Buffer.allocUnsafe(256 * 1024);
  #fill = headerBytes;
  #count = 0;

  get entryCount(): number {
    return this.#count;
  }

  /** Of the file as it is so far. */
  get sizeBytes(): number {
    return this.#fill;
  }

  add(entry: LayerEntry): void {
    let size = entryHeaderBytes + entry.path.length + entry.linkPath.length;
    for (const { name, value } of entry.extendedAttributes) size += 4 + name.length + value.length;
    this.#reserve(size);
    const body = this.#body;
    let at = this.#fill;
    at = body.writeUInt8(layerEntryTypes.indexOf(entry.type), at);
    at = body.writeUInt8(entry.extendedAttributes.length, at);
    at = body.writeUInt16LE(entry.mode, at);
    at = body.writeUInt32LE(entry.uid, at);
    at = body.writeUInt32LE(entry.gid, at);
    at = body.writeDoubleLE(entry.mtimeSeconds, at);
    at = body.writeUInt32LE(entry.mtimeNanoseconds, at);
    at = body.writeDoubleLE(entry.sizeBytes, at);
    at = body.writeDoubleLE(entry.startBlock, at);
    at = body.writeUInt32LE(entry.deviceMajor, at);
    at = body.writeUInt32LE(entry.deviceMinor, at);
    at = body.writeUInt16LE(entry.path.length, at);
    at = body.writeUInt16LE(entry.linkPath.length, at);
    at += body.write(entry.path, at, "latin1");
    at += body.write(entry.linkPath, at, "latin1");
    for (const { name, value } of entry.extendedAttributes) {
      at = body.writeUInt16LE(name.length, at);
      at = body.writeUInt16LE(value.length, at);
      at += body.write(name, at, "latin1");
      body.set(value, at);
      at += value.length;
    }
    this.#fill = at;
    this.#count++;
  }

  /** The whole file. The writer is of no use afterwards. */
  finish(blobSizeBytes: number): Buffer {
    const file = this.#body.subarray(0, this.#fill);
    file.write(magic, 0, "latin1");
    file.writeUInt32LE(this.#count, 12);
    file.writeDoubleLE(blobSizeBytes, 16);
    file.writeDoubleLE(this.#fill - headerBytes, 24);
    file.writeUInt32LE(crc32(file.subarray(12)), 8);
    return file;
  }

  #reserve(size: number): void {
    if (this.#fill + size <= this.#body.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#body.length * 2, this.#fill + size));
    this.#body.copy(larger, 0, 0, this.#fill);
    this.#body = larger;
  }
}

/** Throws {@link LayerIndexError} when the file is not what {@link LayerIndexWriter} wrote. */
export function decodeLayerIndex(file: Buffer): LayerIndex {
  if (file.length < headerBytes || file.toString("latin1", 0, 8) !== magic) {
    throw new LayerIndexError("not a layer index of this version");
  }
  if (file.readDoubleLE(24) !== file.length - headerBytes || file.readUInt32LE(8) !== crc32(file.subarray(12))) {
    throw new LayerIndexError("the layer index is damaged");
  }
  const entries: LayerEntry[] = [];
  const count = file.readUInt32LE(12);
  let at = headerBytes;
  for (let index = 0; index < count; index++) {
    const type = layerEntryTypes[file.readUInt8(at)];
    if (type === undefined) throw new LayerIndexError("the layer index is damaged");
    const attributeCount = file.readUInt8(at + 1);
    const pathEnd = at + entryHeaderBytes + file.readUInt16LE(at + 48);
    const linkEnd = pathEnd + file.readUInt16LE(at + 50);
    const extendedAttributes: ExtendedAttribute[] = [];
    let next = linkEnd;
    for (let attribute = 0; attribute < attributeCount; attribute++) {
      const nameEnd = next + 4 + file.readUInt16LE(next);
      const valueEnd = nameEnd + file.readUInt16LE(next + 2);
      extendedAttributes.push({
        name: file.toString("latin1", next + 4, nameEnd),
        value: file.subarray(nameEnd, valueEnd),
      });
      next = valueEnd;
    }
    entries.push({
      type,
      mode: file.readUInt16LE(at + 2),
      uid: file.readUInt32LE(at + 4),
      gid: file.readUInt32LE(at + 8),
      mtimeSeconds: file.readDoubleLE(at + 12),
      mtimeNanoseconds: file.readUInt32LE(at + 20),
      sizeBytes: file.readDoubleLE(at + 24),
      startBlock: file.readDoubleLE(at + 32),
      deviceMajor: file.readUInt32LE(at + 40),
      deviceMinor: file.readUInt32LE(at + 44),
      path: file.toString("latin1", at + entryHeaderBytes, pathEnd),
      linkPath: file.toString("latin1", pathEnd, linkEnd),
      extendedAttributes,
    });
    at = next;
  }
  return { entries, blobSizeBytes: file.readDoubleLE(16) };
}
