import { type DirectoryInode, implicitDirectory } from "./image-tree.ts";

/** As in the kernel. */
const maxLinksFollowed = 40;
/** Path parts walked because of symbolic links, over a whole image: links that point to long paths multiply work. */
const maxLinkSteps = 20_000_000;

export type Resolution =
  | { readonly directory: DirectoryInode }
  | { readonly missing: true }
  | { readonly refused: string };

/**
 * Finds directories in a tree of merged layers. Symbolic links in parents are followed, but never out of the image:
 * absolute targets begin at its root and `..` stops there, as if by chroot. So containerd does.
 */
export class PathResolver {
  readonly #root: DirectoryInode;
  #linkSteps = 0;
  #cachedPath: string | undefined;
  #cachedDirectory: DirectoryInode;

  constructor(root: DirectoryInode) {
    this.#root = root;
    this.#cachedDirectory = root;
  }

  /** To be called when a name was removed or replaced. (A new name changes nothing that was already resolved.) */
  forget(): void {
    this.#cachedPath = undefined;
  }

  /** The directory at a normalised path, or that it is missing, or why it can never be reached. */
  find(path: string): Resolution {
    return this.#walk(path, undefined);
  }

  /** The same, but missing directories are made for `layer`, and a file of a lower layer in the way gives way. */
  findOrCreate(path: string, layer: number): Resolution {
    if (path === this.#cachedPath) return { directory: this.#cachedDirectory };
    const resolution = this.#walk(path, layer);
    if ("directory" in resolution) {
      this.#cachedPath = path;
      this.#cachedDirectory = resolution.directory;
    }
    return resolution;
  }

  #walk(path: string, createFor: number | undefined): Resolution {
    if (path === "") return { directory: this.#root };
    /** The directories from the root to where the walk is, the root left out. */
    const stack: DirectoryInode[] = [];
    const pending = path.split("/").toReversed();
    let linksFollowed = 0;
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        stack.pop();
        continue;
      }
      if (linksFollowed > 0 && ++this.#linkSteps > maxLinkSteps)
        return { refused: "its links lead through too many directories" };
      const directory = stack.at(-1) ?? this.#root;
      let child = directory.children.get(part);
      if (child?.type === "symbolicLink") {
        if (++linksFollowed > maxLinksFollowed) return { refused: "it lies behind too many symbolic links" };
        if (child.target.startsWith("/")) stack.length = 0;
        pending.push(...child.target.split("/").toReversed());
        continue;
      }
      if (child === undefined || child.type !== "directory") {
        if (createFor === undefined) return { missing: true };
        if (child !== undefined && child.layer === createFor) return { refused: "its parent is not a directory" };
        if (child !== undefined) this.forget();
        child = implicitDirectory(createFor);
        directory.children.set(part, child);
      }
      stack.push(child);
    }
    return { directory: stack.at(-1) ?? this.#root };
  }
}
