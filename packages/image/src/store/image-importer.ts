import { rename, rm } from "node:fs/promises";
import { together } from "@isopod/base";
import { type Digest, hexOf } from "../digest.ts";
import { isImageError, translateDiskError } from "../image-error.ts";
import type { LayerLimits } from "../layer/layer-entry.ts";
import type { ImageManifest } from "../registry/manifest.ts";
import { parseImageConfig } from "../registry/image-config.ts";
import { manifestError } from "../registry/manifest.ts";
import { noPlatform, type Platform } from "../registry/platform.ts";
import type { WorkerPool } from "../worker/worker-pool.ts";
import { type BlobStore, type StoredLayer, syncDirectory } from "./blob-store.ts";
import type { Catalogue } from "./catalogue.ts";
import type { ImageRecord, LayerRecord } from "./image-record.ts";
import type { Mutex } from "./mutex.ts";
import type { ProgressTracker } from "./pull-progress.ts";
import { SharedWork } from "./shared-work.ts";
import type { StorePaths } from "./store-paths.ts";

/** An image whose documents are at hand and proven; only its layers are still elsewhere. */
export interface ImportSource {
  /** For messages. */
  readonly name: string;
  readonly digest: Digest;
  readonly manifestContent: Uint8Array;
  readonly manifest: ImageManifest;
  readonly configContent: Uint8Array;
  /** Names it gets when it is whole. */
  readonly references: readonly string[];
  /**
   * Opens layer number `index` as the registry has it; called at most once for each, when a thread is free.
   * `onBytes` is to be told what came.
   */
  readonly openLayer: (
    index: number,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ) => AsyncIterable<Uint8Array>;
  /** False when the layers' digests in the manifest are made up, as for `docker save`: diffIDs are checked always. */
  readonly hasLayerDigests: boolean;
}

export interface ImporterOptions {
  readonly paths: StorePaths;
  readonly mutex: Mutex;
  readonly blobs: BlobStore;
  readonly catalogue: Catalogue;
  readonly pool: WorkerPool;
  readonly limits: LayerLimits;
  readonly platform: Platform;
}

/** Brings what an image lacks into the store, then the image itself: all of it or nothing. */
export class ImageImporter {
  readonly #options: ImporterOptions;
  readonly #conversions = new SharedWork<StoredLayer>();

  constructor(options: ImporterOptions) {
    this.#options = options;
  }

  async import(source: ImportSource, progress: ProgressTracker, signal: AbortSignal): Promise<ImageRecord> {
    const layers = this.#layersOf(source);
    const diffIds = layers.map((layer) => layer.diffId);
    progress.begin(layers.reduce((sum, layer) => sum + layer.sizeBytes, 0));
    const existing = await this.#nameExisting(source);
    if (existing !== undefined) return existing;
    try {
      using _pin = this.#options.blobs.pin(diffIds);
      await this.#ensureLayers(source, layers, progress, signal);
      return await this.#commit(source, layers, progress, signal);
    } catch (error) {
      // A full disk must not stay full of what could not be finished.
      if (isImageError(error, "NoSpace")) await this.#removeUnused(diffIds);
      throw error;
    }
  }

  #layersOf(source: ImportSource): readonly LayerRecord[] {
    const { platform } = this.#options;
    const { diffIds, architecture, os } = parseImageConfig(source.configContent, source.name);
    if ((architecture !== "" && architecture !== platform.architecture) || (os !== "" && os !== platform.os)) {
      throw noPlatform(source.name, platform, `it is for ${os}/${architecture}`);
    }
    if (diffIds.length !== source.manifest.layers.length) {
      const counts = `${source.manifest.layers.length} layers, and its config ${diffIds.length}`;
      throw manifestError("InvalidManifest", source.name, `it names ${counts}`);
    }
    return source.manifest.layers.map(({ digest, mediaType, sizeBytes }, index): LayerRecord => {
      const diffId = diffIds[index];
      if (diffId === undefined) throw new TypeError("layers and diffIDs were counted");
      return { digest, mediaType, sizeBytes, diffId };
    });
  }

  async #ensureLayers(
    source: ImportSource,
    layers: readonly LayerRecord[],
    progress: ProgressTracker,
    signal: AbortSignal,
  ): Promise<void> {
    const seen = new Set<Digest>();
    try {
      await together(signal, (until) =>
        layers.map(async (layer, index) => {
          if (seen.has(layer.diffId)) return progress.add(layer.sizeBytes);
          seen.add(layer.diffId);
          await this.#ensureLayer(source, layer, index, progress, until);
        }),
      );
    } finally {
      signal.throwIfAborted();
    }
  }

  async #ensureLayer(
    source: ImportSource,
    layer: LayerRecord,
    index: number,
    progress: ProgressTracker,
    signal: AbortSignal,
  ): Promise<void> {
    let countedBytes = 0;
    if (this.#options.blobs.get(layer.diffId) === undefined) {
      const onBytes = (bytes: number) => {
        countedBytes += bytes;
        progress.add(bytes);
      };
      await this.#conversions.run(
        layer.diffId,
        async (shared) => await this.#convert(source, layer, index, onBytes, shared),
        signal,
      );
    }
    // What another pull fetched for us, or an earlier one, counts as well.
    progress.add(layer.sizeBytes - countedBytes);
  }

  async #convert(
    source: ImportSource,
    layer: LayerRecord,
    index: number,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<StoredLayer> {
    const { paths, pool, blobs, limits } = this.#options;
    const dataPath = paths.newTemporary();
    const indexPath = paths.newTemporary();
    const layerName = layerNameOf(source, index);
    try {
      const digest = source.hasLayerDigests ? layer.digest : undefined;
      await pool.convertLayer(
        { layerName, digest, diffId: layer.diffId, dataPath, indexPath, limits },
        (stop) => source.openLayer(index, stop, onBytes),
        signal,
      );
      return await blobs.commit(layer.diffId, dataPath, indexPath);
    } catch (error) {
      await rm(dataPath, { force: true });
      await rm(indexPath, { force: true });
      throw translateDiskError(error, "convert", layerName);
    }
  }

  async #commit(
    source: ImportSource,
    layers: readonly LayerRecord[],
    progress: ProgressTracker,
    signal: AbortSignal,
  ): Promise<ImageRecord> {
    const { paths, pool, mutex, catalogue } = this.#options;
    progress.enter("convert");
    const outputPath = paths.newTemporary();
    try {
      const { metadataSizeBytes, accounts } = await pool.buildMetadata(
        {
          imageName: source.name,
          layers: layers.map(({ diffId }, index) => {
            const name = layerNameOf(source, index);
            return { name, indexPath: paths.layerIndex(diffId), dataPath: paths.layerData(diffId) };
          }),
          uuid: Buffer.from(hexOf(source.digest).slice(0, 32), "hex"),
          outputPath,
        },
        signal,
      );
      progress.enter("commit");
      const record: ImageRecord = {
        digest: source.digest,
        mediaType: source.manifest.mediaType,
        manifest: Buffer.from(source.manifestContent).toString("base64"),
        config: Buffer.from(source.configContent).toString("base64"),
        layers,
        metadataSizeBytes,
        ...(accounts === undefined ? {} : { accounts }),
      };
      await mutex.run(async () => {
        await rename(outputPath, paths.metadataBlob(source.digest));
        await syncDirectory(paths.metadata);
        await catalogue.addImage(record);
        for (const reference of source.references) await catalogue.setReference(reference, source.digest);
      });
      return record;
    } catch (error) {
      await rm(outputPath, { force: true });
      throw translateDiskError(error, "convert", source.name);
    }
  }

  async #nameExisting(source: ImportSource): Promise<ImageRecord | undefined> {
    const { mutex, catalogue } = this.#options;
    return await mutex.run(async () => {
      const record = catalogue.image(source.digest);
      if (record === undefined) return undefined;
      for (const reference of source.references) await catalogue.setReference(reference, source.digest);
      return record;
    });
  }

  async #removeUnused(diffIds: readonly Digest[]): Promise<void> {
    const { mutex, catalogue, blobs } = this.#options;
    await mutex.run(async () => {
      for (const diffId of diffIds) {
        const isUsed = catalogue.images.some((image) => image.layers.some((layer) => layer.diffId === diffId));
        if (!isUsed && !blobs.isPinned(diffId)) await blobs.remove(diffId);
      }
    });
  }
}

function layerNameOf(source: ImportSource, index: number): string {
  const digest = source.manifest.layers[index]?.digest ?? "";
  return `layer ${index + 1} (${digest.slice(0, 19)}…) of ${source.name}`;
}
