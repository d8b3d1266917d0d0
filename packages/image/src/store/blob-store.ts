import { open, readdir, rename, rm, stat } from "node:fs/promises";
import type { Digest } from "../digest.ts";
import { hexOf, isDigest } from "../digest.ts";
import type { Mutex } from "./mutex.ts";
import type { StorePaths } from "./store-paths.ts";

export interface StoredLayer {
  readonly blobSizeBytes: number;
  /** What it takes on disk, holes left out, index included. */
  readonly diskBytes: number;
}

/**
 * The layers on this disk. The index file is renamed into place after the data file and removed before it, so an index
 * means a whole layer. What is pinned is being used by a pull and never collected.
 */
export class BlobStore {
  readonly #paths: StorePaths;
  readonly #mutex: Mutex;
  readonly #layers = new Map<Digest, StoredLayer>();
  readonly #pins = new Map<Digest, number>();

  /** `mutex` orders every change of the store's files. */
  constructor(paths: StorePaths, mutex: Mutex) {
    this.#paths = paths;
    this.#mutex = mutex;
  }

  /** Finds the layers that are there, and removes halves that a crash left. */
  async open(): Promise<void> {
    const names = new Set(await readdir(this.#paths.layers));
    for (const name of names) {
      const diffId = `sha256:${name.replace(/\.(data|index)$/, "")}`;
      if (!isDigest(diffId)) continue;
      if (!names.has(`${hexOf(diffId)}.index`) || !names.has(`${hexOf(diffId)}.data`)) await this.#unlink(diffId);
      else if (!this.#layers.has(diffId)) this.#layers.set(diffId, await this.#measure(diffId));
    }
  }

  get(diffId: Digest): StoredLayer | undefined {
    return this.#layers.get(diffId);
  }

  get diffIds(): readonly Digest[] {
    return [...this.#layers.keys()];
  }

  /** Keeps layers, there or yet to come, from being collected until disposed. */
  pin(diffIds: Iterable<Digest>): Disposable {
    const pinned = [...new Set(diffIds)];
    for (const diffId of pinned) this.#pins.set(diffId, (this.#pins.get(diffId) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const diffId of pinned) {
          const count = (this.#pins.get(diffId) ?? 1) - 1;
          if (count === 0) this.#pins.delete(diffId);
          else this.#pins.set(diffId, count);
        }
      },
    };
  }

  isPinned(diffId: Digest): boolean {
    return this.#pins.has(diffId);
  }

  /** Takes two finished, durable temporary files into the store. */
  async commit(diffId: Digest, dataPath: string, indexPath: string): Promise<StoredLayer> {
    return await this.#mutex.run(async () => {
      await rename(dataPath, this.#paths.layerData(diffId));
      await rename(indexPath, this.#paths.layerIndex(diffId));
      await syncDirectory(this.#paths.layers);
      const layer = await this.#measure(diffId);
      this.#layers.set(diffId, layer);
      return layer;
    });
  }

  /** Removes a layer; to be called inside the mutex, after seeing in the same turn that nothing needs it. */
  async remove(diffId: Digest): Promise<number> {
    const layer = this.#layers.get(diffId);
    this.#layers.delete(diffId);
    await this.#unlink(diffId);
    return layer?.diskBytes ?? 0;
  }

  async #unlink(diffId: Digest): Promise<void> {
    await rm(this.#paths.layerIndex(diffId), { force: true });
    await rm(this.#paths.layerData(diffId), { force: true });
  }

  async #measure(diffId: Digest): Promise<StoredLayer> {
    const data = await stat(this.#paths.layerData(diffId));
    const index = await stat(this.#paths.layerIndex(diffId));
    return { blobSizeBytes: data.size, diskBytes: (data.blocks + index.blocks) * 512 };
  }
}

/** Makes renames in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
