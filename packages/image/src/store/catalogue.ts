import { type Logger, writeFileAtomically } from "@isopod/base";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, isDigest } from "../digest.ts";
import { asObject, asString, parseJson, stringsOf } from "../registry/json-value.ts";
import type { BlobStore } from "./blob-store.ts";
import { decodeImageRecord, encodeImageRecord, type ImageRecord } from "./image-record.ts";
import type { StorePaths } from "./store-paths.ts";

/**
 * Images, their names and who holds them: small files, one fact each, written atomically; all of them also in memory.
 * Memory changes at once, in the turn of the call; the file follows. Changes are to be made inside the store's mutex,
 * but for holds: they must not wait for a pull that commits.
 */
export class Catalogue {
  readonly #paths: StorePaths;
  readonly #logger: Logger;
  readonly #images = new Map<Digest, ImageRecord>();
  readonly #references = new Map<string, Digest>();
  readonly #holds = new Map<string, readonly Digest[]>();
  /** The last write of each holder's file that is not done yet. */
  readonly #holdWrites = new Map<string, Promise<void>>();

  constructor(paths: StorePaths, logger: Logger) {
    this.#paths = paths;
    this.#logger = logger;
  }

  /** Reads everything. An image whose blobs are not all there is forgotten, so that a pull can bring it anew. */
  async open(blobs: BlobStore): Promise<void> {
    for (const text of await readAll(this.#paths.images)) {
      const record = decodeImageRecord(text);
      if (record === undefined) continue;
      const metadata = await stat(this.#paths.metadataBlob(record.digest)).catch(() => undefined);
      const isWhole =
        metadata?.size === record.metadataSizeBytes &&
        record.layers.every((layer) => blobs.get(layer.diffId) !== undefined);
      if (isWhole) {
        this.#images.set(record.digest, record);
      } else {
        this.#logger.warn({ digest: record.digest }, "an image lacks some of its blobs and is forgotten");
        await rm(this.#paths.image(record.digest), { force: true });
      }
    }
    for (const text of await readAll(this.#paths.references)) {
      const fields = asObject(parseJson(text));
      const name = asString(fields?.["reference"]);
      const digest = asString(fields?.["digest"]);
      if (name === undefined || digest === undefined || !isDigest(digest)) continue;
      if (this.#images.has(digest)) this.#references.set(name, digest);
      else await rm(this.#paths.reference(name), { force: true });
    }
    for (const text of await readAll(this.#paths.holds)) {
      const fields = asObject(parseJson(text));
      const holder = asString(fields?.["holder"]);
      if (holder !== undefined) this.#holds.set(holder, stringsOf(fields?.["digests"]).filter(isDigest));
    }
  }

  get images(): readonly ImageRecord[] {
    return [...this.#images.values()];
  }

  image(digest: Digest): ImageRecord | undefined {
    return this.#images.get(digest);
  }

  resolve(reference: string): Digest | undefined {
    return this.#references.get(reference);
  }

  /** Names of an image, sorted. */
  referencesOf(digest: Digest): readonly string[] {
    return [...this.#references]
      .filter(([, target]) => target === digest)
      .map(([name]) => name)
      .toSorted();
  }

  /** Sorted. */
  holdersOf(digest: Digest): readonly string[] {
    return [...this.#holds]
      .filter(([, digests]) => digests.includes(digest))
      .map(([holder]) => holder)
      .toSorted();
  }

  /** The metadata blob must be in place. */
  async addImage(record: ImageRecord): Promise<void> {
    await writeFileAtomically(this.#paths.image(record.digest), encodeImageRecord(record));
    this.#images.set(record.digest, record);
  }

  /** Its names too; layers stay until collected. */
  async removeImage(digest: Digest): Promise<void> {
    this.#images.delete(digest);
    for (const name of this.referencesOf(digest)) await this.removeReference(name);
    await rm(this.#paths.image(digest), { force: true });
    await rm(this.#paths.metadataBlob(digest), { force: true });
  }

  /** Takes the name away from the image that had it. */
  async setReference(reference: string, digest: Digest): Promise<void> {
    if (this.#references.get(reference) === digest) return;
    await writeFileAtomically(this.#paths.reference(reference), JSON.stringify({ reference, digest }));
    this.#references.set(reference, digest);
  }

  async removeReference(reference: string): Promise<void> {
    this.#references.delete(reference);
    await rm(this.#paths.reference(reference), { force: true });
  }

  /**
   * In memory at once, also outside the mutex: from then on nothing collects or removes the image. Resolves when the
   * file is there, so that `kill -9` of this process does not lose the hold. It is not synced: a power loss ends
   * whoever holds the image too, and the start of an instance waits for this.
   */
  async hold(digest: Digest, holder: string): Promise<void> {
    const held = this.#holds.get(holder) ?? [];
    if (!held.includes(digest)) this.#holds.set(holder, [...held, digest]);
    await this.#writeHolds(holder);
  }

  async release(holder: string): Promise<void> {
    this.#holds.delete(holder);
    await this.#writeHolds(holder);
  }

  /** Brings a holder's file to what memory says, after the writes of it that are under way. */
  async #writeHolds(holder: string): Promise<void> {
    const path = this.#paths.hold(holder);
    const before = this.#holdWrites.get(holder) ?? Promise.resolve();
    const write = before.then(async () => {
      const digests = this.#holds.get(holder);
      if (digests === undefined) return await rm(path, { force: true });
      // Begins as an atomic write's temporary file does: a start removes it.
      await writeFile(`${path}.tmp-hold`, JSON.stringify({ holder, digests }));
      await rename(`${path}.tmp-hold`, path);
    });
    const ended = write
      .catch(() => {})
      .then(() => {
        if (this.#holdWrites.get(holder) === ended) this.#holdWrites.delete(holder);
      });
    this.#holdWrites.set(holder, ended);
    await write;
  }
}

/** Files that are being written, or were when the power went, end in `.tmp-…`; they are removed. */
async function readAll(directory: string): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const name of await readdir(directory)) {
    if (name.endsWith(".json")) texts.push(await readFile(join(directory, name), "utf8"));
    else if (name.includes(".json.tmp-")) await rm(join(directory, name), { force: true });
  }
  return texts;
}
