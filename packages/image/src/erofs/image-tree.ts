import type { ExtendedAttribute } from "../tar/tar-entry.ts";

interface InodeBase {
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  extendedAttributes: readonly ExtendedAttribute[];
  /** Number of the layer that brought it, 0 being the lowest. */
  layer: number;
}

export interface DirectoryInode extends InodeBase {
  readonly type: "directory";
  /** By name, one character per byte. Two names of one inode are hard links. */
  readonly children: Map<string, Inode>;
}

export interface FileInode extends InodeBase {
  readonly type: "file";
  readonly sizeBytes: number;
  /** First block of the contents in the data blob of `layer`. */
  readonly startBlock: number;
}

export interface SymbolicLinkInode extends InodeBase {
  readonly type: "symbolicLink";
  readonly target: string;
}

export interface SpecialInode extends InodeBase {
  readonly type: "characterDevice" | "blockDevice" | "fifo";
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export type Inode = DirectoryInode | FileInode | SymbolicLinkInode | SpecialInode;

/** A directory no layer describes: `/` of most images, or a parent that the archive left out. */
export function implicitDirectory(layer: number): DirectoryInode {
  return {
    type: "directory",
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    extendedAttributes: [],
    layer,
    children: new Map(),
  };
}
