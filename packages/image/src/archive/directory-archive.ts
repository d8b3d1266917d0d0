import { realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { normaliseEntryPath } from "../layer/entry-path.ts";
import type { FileRange, ImageArchive } from "./image-archive.ts";

/** An OCI layout, or an unpacked `docker save`, as a directory. Links that lead out of it lead nowhere. */
export class DirectoryArchive implements ImageArchive {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async locate(name: string): Promise<FileRange | undefined> {
    const normalised = normaliseEntryPath(name);
    if (!("path" in normalised)) return undefined;
    const root = await realpath(this.#root);
    const path = await realpath(join(root, normalised.path)).catch(() => undefined);
    if (path === undefined || !path.startsWith(root + sep)) return undefined;
    const status = await stat(path);
    return status.isFile() ? { path, offset: 0, sizeBytes: status.size } : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
