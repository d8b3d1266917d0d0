import { baseName, parentPath } from "../layer/entry-path.ts";
import type { LayerEntry } from "../layer/layer-entry.ts";
import { invalidEntry } from "../layer/layer-entry-factory.ts";
import { type DirectoryInode, implicitDirectory, type Inode } from "./image-tree.ts";
import { PathResolver } from "./path-resolver.ts";

export interface MergeLayer {
  /** For messages. */
  readonly name: string;
  readonly entries: Iterable<LayerEntry>;
}

/**
 * Applies layers, lowest first, and returns the root of the image.
 *
 * In each layer whiteouts come first, as they hide only what is below (OCI image specification, "Applying changesets");
 * then its entries in order, later ones replacing earlier ones. A directory over a directory keeps its children and
 * takes the new owner, mode, time and attributes. Throws `InvalidLayer`, naming layer and entry.
 */
export function mergeLayers(layers: readonly MergeLayer[]): DirectoryInode {
  const root = implicitDirectory(0);
  const merger = new LayerMerger(root);
  for (const [number, layer] of layers.entries()) merger.apply(layer, number);
  return root;
}

class LayerMerger {
  readonly #root: DirectoryInode;
  readonly #resolver: PathResolver;

  constructor(root: DirectoryInode) {
    this.#root = root;
    this.#resolver = new PathResolver(root);
  }

  apply(layer: MergeLayer, number: number): void {
    this.#resolver.forget();
    for (const entry of layer.entries) {
      if (entry.type === "whiteout") this.#hide(layer, entry);
      else if (entry.type === "opaque") this.#empty(layer, entry);
    }
    this.#resolver.forget();
    for (const entry of layer.entries) {
      if (entry.type !== "whiteout" && entry.type !== "opaque") this.#place(layer, number, entry);
    }
  }

  #hide(layer: MergeLayer, entry: LayerEntry): void {
    const parent = this.#resolver.find(parentPath(entry.path));
    if ("refused" in parent) throw invalidEntry(layer.name, entry.path, parent.refused);
    if ("directory" in parent) parent.directory.children.delete(baseName(entry.path));
  }

  #empty(layer: MergeLayer, entry: LayerEntry): void {
    const found = this.#resolver.find(entry.path);
    if ("refused" in found) throw invalidEntry(layer.name, entry.path, found.refused);
    if ("directory" in found) found.directory.children.clear();
  }

  #place(layer: MergeLayer, number: number, entry: LayerEntry): void {
    if (entry.path === "") {
      if (entry.type !== "directory") throw invalidEntry(layer.name, "/", "the root of an image must be a directory");
      takeMetadata(this.#root, entry, number);
      return;
    }
    const target = entry.type === "hardLink" ? this.#linkTarget(layer, entry) : undefined;
    const parent = this.#resolver.findOrCreate(parentPath(entry.path), number);
    if (!("directory" in parent)) {
      throw invalidEntry(layer.name, entry.path, "refused" in parent ? parent.refused : "its parent is missing");
    }
    const name = baseName(entry.path);
    const { children } = parent.directory;
    const existing = children.get(name);
    if (entry.type === "directory" && existing?.type === "directory") {
      takeMetadata(existing, entry, number);
      return;
    }
    if (existing !== undefined) this.#resolver.forget();
    children.set(name, target ?? newInode(entry, number));
  }

  /** A hard link may name a file of this layer or of one below; its own header says nothing more. */
  #linkTarget(layer: MergeLayer, entry: LayerEntry): Inode {
    const parent = this.#resolver.find(parentPath(entry.linkPath));
    const target = "directory" in parent ? parent.directory.children.get(baseName(entry.linkPath)) : undefined;
    const shown = JSON.stringify(Buffer.from(entry.linkPath, "latin1").toString().slice(0, 300));
    if (target === undefined) {
      throw invalidEntry(layer.name, entry.path, `it is a hard link to ${shown}, which no layer has`);
    }
    if (target.type === "directory") {
      throw invalidEntry(layer.name, entry.path, `it is a hard link to the directory ${shown}`);
    }
    return target;
  }
}

function takeMetadata(directory: DirectoryInode, entry: LayerEntry, layer: number): void {
  Object.assign(directory, metadataOf(entry, layer));
}

function metadataOf(entry: LayerEntry, layer: number) {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, extendedAttributes } = entry;
  return { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, extendedAttributes, layer };
}

function newInode(entry: LayerEntry, layer: number): Inode {
  const metadata = metadataOf(entry, layer);
  switch (entry.type) {
    case "directory":
      return { ...metadata, type: "directory", children: new Map() };
    case "symbolicLink":
      return { ...metadata, type: "symbolicLink", target: entry.linkPath };
    case "characterDevice":
    case "blockDevice":
    case "fifo":
      return { ...metadata, type: entry.type, deviceMajor: entry.deviceMajor, deviceMinor: entry.deviceMinor };
    case "file":
      return { ...metadata, type: "file", sizeBytes: entry.sizeBytes, startBlock: entry.startBlock };
    default:
      throw new TypeError(`${entry.type} makes no inode`);
  }
}
