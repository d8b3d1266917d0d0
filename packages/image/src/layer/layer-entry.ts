import type { ExtendedAttribute } from "../tar/tar-entry.ts";

/** The order is the code in the index file. */
export const layerEntryTypes = [
  "file",
  "hardLink",
  "symbolicLink",
  "characterDevice",
  "blockDevice",
  "directory",
  "fifo",
  /** Hides `path` of the layers below. */
  "whiteout",
  /** Hides everything that the layers below have inside the directory `path`. */
  "opaque",
] as const;
export type LayerEntryType = (typeof layerEntryTypes)[number];

/** One entry of a layer, in the order of its archive. Names are `latin1` strings, one character per byte. */
export interface LayerEntry {
  readonly type: LayerEntryType;
  /** Normalised: no leading or trailing slash, no empty, `.` or `..` parts; "" is the root. */
  readonly path: string;
  /** Hard link: normalised path of its target. Symbolic link: its text, as it is. Else "". */
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly sizeBytes: number;
  /** First 4096-byte block of the contents in the layer's data blob; 0 for what has none. */
  readonly startBlock: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly extendedAttributes: readonly ExtendedAttribute[];
}

/** Bounds on what one layer may ask of this host. */
export interface LayerLimits {
  /** Bytes of the uncompressed archive. */
  readonly maxArchiveBytes: number;
  /** Bytes of the data blob, holes included. */
  readonly maxBlobBytes: number;
  readonly maxEntries: number;
  /** Bytes of the index, which is made in memory: names and extended attributes of all entries. */
  readonly maxIndexBytes: number;
}

/** Far above real images; holes cost nothing on disk, entries cost about 300 bytes of memory each. */
export const defaultLayerLimits: LayerLimits = Object.freeze({
  maxArchiveBytes: 1024 ** 4,
  maxBlobBytes: 4 * 1024 ** 4,
  maxEntries: 2_000_000,
  maxIndexBytes: 512 * 1024 ** 2,
});
