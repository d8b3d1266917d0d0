/** What an entry of a tar archive can be here; every other kind is refused or skipped by the reader. */
export type TarEntryType =
  | "file"
  | "hardLink"
  | "symbolicLink"
  | "characterDevice"
  | "blockDevice"
  | "directory"
  | "fifo";

export interface ExtendedAttribute {
  /** Full name with its namespace, as `latin1` text: one character per byte. */
  readonly name: string;
  readonly value: Uint8Array;
}

/**
 * One entry with all its header forms (ustar, GNU, PAX) merged.
 * Names are bytes, not text: they are kept as `latin1` strings, one character per byte, so that comparing strings
 * compares bytes and nothing is lost.
 */
export interface TarEntry {
  readonly type: TarEntryType;
  /** As in the archive, not normalised. */
  readonly path: string;
  /** Target of a hard or symbolic link, else "". */
  readonly linkPath: string;
  /** Permission bits with set-id and sticky, 0–07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Size of the file as a reader sees it, holes included; 0 for everything but files. */
  readonly sizeBytes: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly extendedAttributes: readonly ExtendedAttribute[];
}

/** Takes what a {@link TarReader} finds, in order; data of a file come between its `entry` and the next one. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** `bytes` is valid only during the call. `offset` counts from the start of the file; it never goes back. */
  data(bytes: Uint8Array, offset: number): void;
}

/** The archive is damaged, truncated, or uses what no container tool writes. */
export class TarFormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TarFormatError";
  }
}
