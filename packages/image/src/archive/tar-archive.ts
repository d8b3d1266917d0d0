import { createReadStream, createWriteStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { joinPath, normaliseEntryPath, parentPath } from "../layer/entry-path.ts";
import { compressionOf, decompress } from "../layer/decompress.ts";
import type { TarEntry, TarHandler } from "../tar/tar-entry.ts";
import { TarReader } from "../tar/tar-reader.ts";
import type { FileRange, ImageArchive } from "./image-archive.ts";

/** An archive of images has some files a layer; more than this is something else. */
const maxFiles = 100_000;
const maxLinksFollowed = 8;

/** An OCI layout or `docker save` as a tar file, its files used where they lie. */
export class TarArchive implements ImageArchive {
  readonly #files: ReadonlyMap<string, FileRange>;
  readonly #links: ReadonlyMap<string, string>;
  readonly #temporaryPath: string | undefined;

  private constructor(index: ArchiveIndex, temporaryPath: string | undefined) {
    this.#files = index.files;
    this.#links = index.links;
    this.#temporaryPath = temporaryPath;
  }

  /**
   * A compressed archive is first decompressed to `temporaryPath`, which is removed when the archive is disposed.
   * Throws `TarFormatError` when it is no tar.
   */
  static async open(path: string, temporaryPath: string, signal: AbortSignal): Promise<TarArchive> {
    const isCompressed = compressionOf(await readStart(path)) !== "none";
    try {
      if (isCompressed) {
        await pipeline(decompress(createReadStream(path)), createWriteStream(temporaryPath, { flags: "wx" }), {
          signal,
        });
      }
      const index = new ArchiveIndex(isCompressed ? temporaryPath : path);
      await index.scan(signal);
      return new TarArchive(index, isCompressed ? temporaryPath : undefined);
    } catch (error) {
      if (isCompressed) await rm(temporaryPath, { force: true });
      throw error;
    }
  }

  async locate(name: string): Promise<FileRange | undefined> {
    const normalised = normaliseEntryPath(Buffer.from(name).toString("latin1"));
    let path = "path" in normalised ? normalised.path : undefined;
    for (let followed = 0; path !== undefined && followed <= maxLinksFollowed; followed++) {
      const range = this.#files.get(path);
      if (range !== undefined) return range;
      path = this.#links.get(path);
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#temporaryPath !== undefined) await rm(this.#temporaryPath, { force: true });
  }
}

/** Notes where each file's data lie. Older `docker save` writes equal layers once and links the others to it. */
class ArchiveIndex implements TarHandler {
  readonly files = new Map<string, FileRange>();
  readonly links = new Map<string, string>();
  readonly #path: string;
  #chunk: Buffer = Buffer.alloc(0);
  #chunkOffset = 0;
  #pending: { readonly path: string; readonly sizeBytes: number } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async scan(signal: AbortSignal): Promise<void> {
    const tar = new TarReader(this);
    for await (const chunk of createReadStream(this.#path, { highWaterMark: 1024 * 1024, signal })) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError("a file stream without encoding gives buffers");
      this.#chunk = chunk;
      tar.push(chunk);
      this.#chunkOffset += chunk.length;
    }
    tar.finish();
  }

  entry(entry: TarEntry): void {
    this.#pending = undefined;
    const normalised = normaliseEntryPath(entry.path);
    if (!("path" in normalised) || this.files.size >= maxFiles || this.links.size >= maxFiles) return;
    const { path } = normalised;
    if (entry.type === "file" && entry.sizeBytes > 0) {
      this.#pending = { path, sizeBytes: entry.sizeBytes };
    } else if (entry.type === "symbolicLink" || entry.type === "hardLink") {
      const isRelative = entry.type === "symbolicLink" && !entry.linkPath.startsWith("/");
      const target = normaliseEntryPath(isRelative ? joinPath(parentPath(path), entry.linkPath) : entry.linkPath);
      if ("path" in target) this.links.set(path, target.path);
    }
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#pending === undefined || offset !== 0) return;
    const start = this.#chunkOffset + bytes.byteOffset - this.#chunk.byteOffset;
    this.files.set(this.#pending.path, { path: this.#path, offset: start, sizeBytes: this.#pending.sizeBytes });
    this.#pending = undefined;
  }
}

async function readStart(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
