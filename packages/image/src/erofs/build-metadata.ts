import { readFileSync, statSync } from "node:fs";
import type { ImageAccounts } from "../contract.ts";
import { writeDurably } from "../durable-file.ts";
import { ImageError, translateDiskError } from "../image-error.ts";
import { decodeLayerIndex, type LayerIndex, LayerIndexError } from "../layer/layer-index.ts";
import { mergeLayers } from "./merge-layers.ts";
import { readAccounts } from "./read-accounts.ts";
import { DiskTooLargeError, writeMetadata } from "./write-metadata.ts";

/** All indexes of an image are in memory at once. Real ones have some megabytes together. */
const defaultMaxIndexBytes = 1024 ** 3;

export interface BuildMetadataOptions {
  /** For messages. */
  readonly imageName: string;
  /** Lowest first. The same index may come twice: its blob is then on the disk once. */
  readonly layers: readonly { readonly name: string; readonly indexPath: string; readonly dataPath: string }[];
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** File to make; it must not exist. */
  readonly outputPath: string;
  /** Bound on the bytes of all layers' indexes together; default 1 GiB. */
  readonly maxIndexBytes?: number;
}

export interface BuiltMetadata {
  readonly metadataSizeBytes: number;
  readonly accounts?: ImageAccounts;
}

export function isBuiltMetadata(value: object): value is BuiltMetadata {
  return "metadataSizeBytes" in value;
}

/**
 * Merges layers by their indexes and writes the metadata blob, durably. Synchronous: it runs in a worker thread.
 * Throws `InvalidLayer`, `StoreDamaged`, `NoSpace`.
 */
export function buildMetadata(options: BuildMetadataOptions): BuiltMetadata {
  const paths = [...new Set(options.layers.map((layer) => layer.indexPath))];
  checkIndexSizes(paths, options);
  const indexes = paths.map((path) => readIndex(path, options.imageName));
  const layerOf = (path: string) => indexes[paths.indexOf(path)]?.entries ?? [];
  const root = mergeLayers(options.layers.map(({ name, indexPath }) => ({ name, entries: layerOf(indexPath) })));
  try {
    const metadata = writeMetadata(root, {
      blobSizesBytes: indexes.map((index) => index.blobSizeBytes),
      blobOfLayer: options.layers.map((layer) => paths.indexOf(layer.indexPath)),
      uuid: options.uuid,
    });
    writeDurably(options.outputPath, metadata);
    const accounts = readAccounts(
      root,
      options.layers.map((layer) => layer.dataPath),
    );
    return { metadataSizeBytes: metadata.length, ...(accounts === undefined ? {} : { accounts }) };
  } catch (error) {
    if (error instanceof DiskTooLargeError) {
      throw new ImageError(`${options.imageName} cannot be converted: ${error.message}; EROFS ends at 16 TiB`, {
        code: "InvalidLayer",
        stage: "convert",
        object: options.imageName,
        cause: error,
      });
    }
    throw translateDiskError(error, "convert", options.imageName);
  }
}

function checkIndexSizes(paths: readonly string[], options: BuildMetadataOptions): void {
  const maxBytes = options.maxIndexBytes ?? defaultMaxIndexBytes;
  const totalBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  if (totalBytes <= maxBytes) return;
  const why = `the names and attributes of its layers take ${totalBytes} bytes, more than ${maxBytes}`;
  throw new ImageError(`${options.imageName} cannot be converted: ${why}`, {
    code: "InvalidLayer",
    stage: "convert",
    object: options.imageName,
  });
}

function readIndex(path: string, imageName: string): LayerIndex {
  try {
    return decodeLayerIndex(readFileSync(path));
  } catch (error) {
    if (!(error instanceof LayerIndexError)) throw error;
    throw new ImageError(`${imageName}: ${error.message} (${path})`, {
      code: "StoreDamaged",
      stage: "store",
      object: imageName,
      cause: error,
    });
  }
}
