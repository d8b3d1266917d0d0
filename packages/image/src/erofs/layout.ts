import { attributesSize } from "./attribute-block.ts";
import { type DirectoryShape, shapeDirectory } from "./directory-block.ts";
import { blockSize, inodeAlignment, inodeBytes, rootOffset } from "./format.ts";
import type { DirectoryInode, Inode } from "./image-tree.ts";

/** Where one inode and its own data go in the metadata blob. */
export interface Placement {
  readonly inode: Inode;
  readonly offset: number;
  readonly attributesBytes: number;
  readonly linkCount: number;
  /** The last piece of its data follows the inode, in the same block. */
  readonly isInline: boolean;
  /** First block of data in the metadata blob; for directories and long symbolic links. */
  readonly dataBlock: number;
  readonly shape: DirectoryShape | undefined;
}

export interface Layout {
  /** In the order of the disk; the root is first. */
  readonly placements: readonly Placement[];
  readonly metadataBlocks: number;
}

/** Decides every offset. Depth first with sorted names: a directory's inodes lie together, and nothing depends on chance. */
export function layOut(root: DirectoryInode): Layout {
  const shapes = new Map<Inode, DirectoryShape>();
  const linkCounts = new Map<Inode, number>();
  const order: Inode[] = [];
  const pending: Inode[] = [root];
  for (let inode = pending.pop(); inode !== undefined; inode = pending.pop()) {
    const links = linkCounts.get(inode);
    if (links !== undefined) {
      linkCounts.set(inode, links + 1);
      continue;
    }
    order.push(inode);
    if (inode.type !== "directory") {
      linkCounts.set(inode, 1);
      continue;
    }
    const shape = shapeDirectory(inode.children.keys());
    shapes.set(inode, shape);
    let directories = 0;
    for (const name of shape.names.toReversed()) {
      const child = inode.children.get(name);
      if (child === undefined) continue;
      if (child.type === "directory") directories++;
      pending.push(child);
    }
    linkCounts.set(inode, 2 + directories);
  }

  const inodeArea = placeInodes(order, shapes);
  let nextBlock = Math.ceil(inodeArea.endOffset / blockSize);
  const placements = inodeArea.places.map((place): Placement => {
    const dataBlock = nextBlock;
    nextBlock += place.dataBlocks;
    return {
      inode: place.inode,
      offset: place.offset,
      attributesBytes: place.attributesBytes,
      linkCount: linkCounts.get(place.inode) ?? 1,
      isInline: place.isInline,
      dataBlock: place.dataBlocks === 0 ? 0 : dataBlock,
      shape: shapes.get(place.inode),
    };
  });
  return { placements, metadataBlocks: nextBlock };
}

interface InodePlace {
  readonly inode: Inode;
  readonly offset: number;
  readonly attributesBytes: number;
  readonly isInline: boolean;
  readonly dataBlocks: number;
}

function placeInodes(order: readonly Inode[], shapes: ReadonlyMap<Inode, DirectoryShape>) {
  const places: InodePlace[] = [];
  let offset = rootOffset;
  for (const inode of order) {
    const shape = shapes.get(inode);
    const attributesBytes = attributesSize(inode.extendedAttributes);
    const headBytes = inodeBytes + attributesBytes;
    const tailBytes = shape?.lastBlockBytes ?? (inode.type === "symbolicLink" ? inode.target.length : 0);
    const isInline = tailBytes > 0 && headBytes + tailBytes <= blockSize;
    offset = Math.ceil(offset / inodeAlignment) * inodeAlignment;
    const usedBytes = headBytes + (isInline ? tailBytes : 0);
    // Inline data must not cross into the next block.
    if (isInline && (offset % blockSize) + usedBytes > blockSize) offset = Math.ceil(offset / blockSize) * blockSize;
    const allBlocks = shape?.namesPerBlock.length ?? (tailBytes > 0 ? 1 : 0);
    places.push({ inode, offset, attributesBytes, isInline, dataBlocks: isInline ? allBlocks - 1 : allBlocks });
    offset += usedBytes;
  }
  return { places, endOffset: offset };
}
