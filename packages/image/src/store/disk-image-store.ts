import type { Clock } from "@isopod/base";
import { stat } from "node:fs/promises";
import { DirectoryArchive } from "../archive/directory-archive.ts";
import type { ImageArchive } from "../archive/image-archive.ts";
import { readArchive } from "../archive/read-archive.ts";
import { TarArchive } from "../archive/tar-archive.ts";
import type { CollectResult, Image, ImageStore, PullOptions } from "../contract.ts";
import { type Digest, digestOf, isDigest } from "../digest.ts";
import { ImageError, type ImageErrorCode, translateDiskError } from "../image-error.ts";
import { isDecompressorError } from "../layer/decompress.ts";
import { formatReference, parseReference } from "../reference.ts";
import { TarFormatError } from "../tar/tar-entry.ts";
import type { WorkerPool } from "../worker/worker-pool.ts";
import type { BlobStore } from "./blob-store.ts";
import type { Catalogue } from "./catalogue.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { describeImage } from "./describe-image.ts";
import type { ImageImporter, ImportSource } from "./image-importer.ts";
import type { ImageRecord } from "./image-record.ts";
import type { Mutex } from "./mutex.ts";
import { ProgressTracker } from "./pull-progress.ts";
import { type PullerOptions, resolveImage } from "./registry-puller.ts";
import { SharedWork } from "./shared-work.ts";
import type { StorePaths } from "./store-paths.ts";

export interface DiskImageStoreParts {
  readonly paths: StorePaths;
  readonly mutex: Mutex;
  readonly blobs: BlobStore;
  readonly catalogue: Catalogue;
  readonly pool: WorkerPool;
  readonly importer: ImageImporter;
  readonly puller: PullerOptions;
  readonly clock: Clock;
  readonly lock: Disposable;
}

/** The image store in a directory; see the contract for what each method promises. */
export class DiskImageStore implements ImageStore {
  readonly #parts: DiskImageStoreParts;
  readonly #pulls = new SharedWork<ImageRecord>();
  readonly #trackers = new Map<string, ProgressTracker>();
  readonly #closing = new AbortController();
  readonly #busy = new Set<Promise<unknown>>();

  constructor(parts: DiskImageStoreParts) {
    this.#parts = parts;
  }

  async pull(text: string, options: PullOptions = {}): Promise<Image> {
    const reference = parseReference(text);
    const name = formatReference(reference);
    return await this.#track(options.signal, async (signal) => {
      const present = reference.digest === undefined ? undefined : await this.#present(name, reference.digest);
      if (present !== undefined) {
        options.onProgress?.({ reference: name, stage: "done", doneBytes: 0, totalBytes: 0 });
        return present;
      }
      // Credentials are part of the key: nobody rides on the login of another.
      const { credentials } = options;
      const key = `${name} ${credentials === undefined ? "" : digestOf(JSON.stringify(credentials))}`;
      const tracker = this.#trackers.get(key) ?? new ProgressTracker(name, this.#parts.clock);
      this.#trackers.set(key, tracker);
      using _listening = options.onProgress === undefined ? undefined : tracker.listen(options.onProgress);
      const work = async (shared: AbortSignal): Promise<ImageRecord> => {
        try {
          const source = await resolveImage(reference, credentials, this.#parts.puller, shared);
          return await this.#parts.importer.import(source, tracker, shared);
        } finally {
          if (this.#trackers.get(key) === tracker) this.#trackers.delete(key);
        }
      };
      const record = await this.#pulls.run(key, work, signal);
      tracker.enter("done");
      return await this.#describe(record);
    });
  }

  async load(
    path: string,
    options: { readonly reference?: string; readonly signal?: AbortSignal } = {},
  ): Promise<readonly Image[]> {
    const name = options.reference === undefined ? undefined : formatReference(parseReference(options.reference));
    return await this.#track(options.signal, async (signal) => {
      await using archive = await this.#openArchive(path, signal);
      const found = await readArchive(archive, { path, platform: this.#parts.puller.platform });
      if (name !== undefined && found.length !== 1) {
        throw new ImageError(`${path} holds ${found.length} images, which cannot all be named ${name}`, {
          code: "InvalidArchive",
          stage: "load",
          object: path,
          remedy: "Load it without a reference.",
        });
      }
      const images: Image[] = [];
      for (const source of found) {
        const named: ImportSource = name === undefined ? source : { ...source, references: [name] };
        const tracker = new ProgressTracker(source.name, this.#parts.clock);
        images.push(await this.#describe(await this.#parts.importer.import(named, tracker, signal)));
      }
      return images;
    });
  }

  async get(referenceOrDigest: string): Promise<Image | undefined> {
    const record = this.#find(referenceOrDigest);
    return record === undefined ? undefined : await this.#describe(record);
  }

  async list(): Promise<readonly Image[]> {
    const images = await Promise.all(this.#parts.catalogue.images.map(async (record) => await this.#describe(record)));
    const keyOf = (image: Image) => image.references[0] ?? image.digest;
    return images.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  }

  async remove(referenceOrDigest: string): Promise<void> {
    const { mutex, catalogue } = this.#parts;
    await mutex.run(async () => {
      const record = this.#find(referenceOrDigest);
      if (record === undefined) throw this.#error("NotFound", referenceOrDigest, "is not on this host");
      const name = isDigest(referenceOrDigest) ? undefined : formatReference(parseReference(referenceOrDigest));
      const others = catalogue.referencesOf(record.digest).filter((reference) => reference !== name);
      if (name !== undefined && others.length > 0) return await catalogue.removeReference(name);
      const holders = catalogue.holdersOf(record.digest);
      if (holders.length > 0) {
        const shown = `${holders.slice(0, 3).join(", ")}${holders.length > 3 ? ", …" : ""}`;
        throw this.#error("InUse", referenceOrDigest, `is used by ${holders.length}: ${shown}`);
      }
      await catalogue.removeImage(record.digest);
    });
  }

  async hold(digest: string, holder: string): Promise<void> {
    const { catalogue } = this.#parts;
    const record = isDigest(digest) ? catalogue.image(digest) : undefined;
    if (record === undefined) throw this.#error("NotFound", digest, "is not on this host");
    await this.#track(undefined, async () => await catalogue.hold(record.digest, holder));
  }

  async release(holder: string): Promise<void> {
    await this.#track(undefined, async () => await this.#parts.catalogue.release(holder));
  }

  async collectGarbage(): Promise<CollectResult> {
    return await collectGarbage(this.#parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pool, mutex, lock } = this.#parts;
    this.#closing.abort(this.#error("StoreClosed", "the image store", "is being closed"));
    await Promise.allSettled(this.#busy);
    await mutex.run(async () => await pool[Symbol.asyncDispose]());
    lock[Symbol.dispose]();
  }

  /** Runs a long operation until the caller or the store's end stops it. */
  async #track<T>(own: AbortSignal | undefined, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#closing.signal.throwIfAborted();
    const signal = own === undefined ? this.#closing.signal : AbortSignal.any([own, this.#closing.signal]);
    signal.throwIfAborted();
    const running = action(signal);
    this.#busy.add(running);
    try {
      return await running;
    } finally {
      this.#busy.delete(running);
    }
  }

  /** An image asked for by digest needs no registry once it is here; the name is new, perhaps. */
  async #present(name: string, digest: Digest): Promise<Image | undefined> {
    const { mutex, catalogue } = this.#parts;
    const record = await mutex.run(async () => {
      const target = catalogue.resolve(name) ?? digest;
      const found = catalogue.image(target);
      if (found !== undefined) await catalogue.setReference(name, found.digest);
      return found;
    });
    return record === undefined ? undefined : await this.#describe(record);
  }

  #find(referenceOrDigest: string): ImageRecord | undefined {
    const { catalogue } = this.#parts;
    if (isDigest(referenceOrDigest)) return catalogue.image(referenceOrDigest);
    const reference = parseReference(referenceOrDigest);
    const digest = catalogue.resolve(formatReference(reference)) ?? reference.digest;
    return digest === undefined ? undefined : catalogue.image(digest);
  }

  async #openArchive(path: string, signal: AbortSignal): Promise<ImageArchive> {
    const status = await stat(path).catch((cause: unknown) => {
      throw new ImageError(`${path} cannot be read`, { code: "InvalidArchive", stage: "load", object: path, cause });
    });
    if (status.isDirectory()) return new DirectoryArchive(path);
    try {
      return await TarArchive.open(path, this.#parts.paths.newTemporary(), signal);
    } catch (cause) {
      if (!(cause instanceof TarFormatError || isDecompressorError(cause)))
        throw translateDiskError(cause, "load", path);
      const message = `${path} cannot be loaded: ${cause.message}`;
      throw new ImageError(message, { code: "InvalidArchive", stage: "load", object: path, cause });
    }
  }

  async #describe(record: ImageRecord): Promise<Image> {
    const { paths, blobs, catalogue } = this.#parts;
    return describeImage(record, catalogue.referencesOf(record.digest), paths, blobs);
  }

  #error(code: ImageErrorCode, object: string, what: string): ImageError {
    return new ImageError(`${object} ${what}`, { code, stage: "store", object });
  }
}
