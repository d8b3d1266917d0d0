import { createHash } from "node:crypto";
import type { Digest } from "../digest.ts";
import { writeDurably } from "../durable-file.ts";
import { ImageError, translateDiskError } from "../image-error.ts";
import { TarFormatError, type TarEntry, type TarHandler } from "../tar/tar-entry.ts";
import { TarReader } from "../tar/tar-reader.ts";
import { blockSize, DataBlobWriter } from "./data-blob-writer.ts";
import { decompress, isDecompressorError } from "./decompress.ts";
import type { LayerLimits } from "./layer-entry.ts";
import { HashedSource } from "./hashed-source.ts";
import { invalidEntry, toLayerEntry } from "./layer-entry-factory.ts";
import { LayerIndexWriter } from "./layer-index.ts";

export interface ConvertLayerOptions {
  /** For messages: the layer and the image it belongs to. */
  readonly layerName: string;
  /** Digest of the bytes as they come; undefined when only the uncompressed archive is named (docker save). */
  readonly digest: Digest | undefined;
  /** Digest of the uncompressed archive. */
  readonly diffId: Digest;
  /** Files to make; they must not exist. Left behind, incomplete, when the conversion fails. */
  readonly dataPath: string;
  readonly indexPath: string;
  readonly limits: LayerLimits;
}

export interface ConvertedLayer {
  readonly blobSizeBytes: number;
  readonly entryCount: number;
}

export function isConvertedLayer(value: object): value is ConvertedLayer {
  return "blobSizeBytes" in value;
}

/**
 * Turns one layer, as a registry holds it, into a data blob and an index, in one pass and without buffering.
 * Both files are durable and both digests proven when it resolves. Throws `InvalidLayer`, `DigestMismatch`, `NoSpace`,
 * or what the source throws.
 */
export async function convertLayer(
  source: AsyncIterable<Uint8Array>,
  options: ConvertLayerOptions,
): Promise<ConvertedLayer> {
  await using compressed = new HashedSource(source);
  const archiveHash = createHash("sha256");
  try {
    using data = new DataBlobWriter(options.dataPath);
    const index = new LayerIndexWriter();
    const tar = new TarReader(new LayerBuilder(data, index, options));
    let archiveBytes = 0;
    try {
      for await (const chunk of decompress(compressed)) {
        archiveHash.update(chunk);
        archiveBytes += chunk.length;
        if (archiveBytes > options.limits.maxArchiveBytes) {
          throw invalidLayer(options, `it is larger than ${options.limits.maxArchiveBytes} bytes uncompressed`);
        }
        tar.push(chunk);
      }
      tar.finish();
    } catch (error) {
      if (compressed.error !== undefined) throw compressed.error;
      if (isDamage(error)) {
        // A wrong digest explains every other damage: read on, so that it can be told.
        await compressed.drain();
        checkDigest(compressed.digest(), options.digest, options.layerName);
      }
      throw error;
    }
    // Decompressors stop at the end of their frame; what is behind belongs to the digest all the same.
    await compressed.drain();
    checkDigest(compressed.digest(), options.digest, options.layerName);
    checkDigest(archiveHash.digest("hex"), options.diffId, `${options.layerName}, uncompressed`);
    data.finish();
    writeDurably(options.indexPath, index.finish(data.sizeBytes));
    return { blobSizeBytes: data.sizeBytes, entryCount: index.entryCount };
  } catch (error) {
    throw translateLayerError(error, options);
  }
}

/** Lays out file contents in the data blob and records entries. */
class LayerBuilder implements TarHandler {
  readonly #data: DataBlobWriter;
  readonly #index: LayerIndexWriter;
  readonly #options: ConvertLayerOptions;
  #fileStart = 0;
  #isWanted = false;

  constructor(data: DataBlobWriter, index: LayerIndexWriter, options: ConvertLayerOptions) {
    this.#data = data;
    this.#index = index;
    this.#options = options;
  }

  entry(tarEntry: TarEntry): void {
    const { limits, layerName } = this.#options;
    if (this.#index.entryCount >= limits.maxEntries) {
      throw invalidLayer(this.#options, `it has more than ${limits.maxEntries} entries`);
    }
    const entry = toLayerEntry(tarEntry, this.#data.sizeBytes / blockSize, layerName);
    this.#isWanted = entry !== undefined && entry.sizeBytes > 0;
    if (entry === undefined) return;
    if (entry.sizeBytes > limits.maxBlobBytes - this.#data.sizeBytes) {
      throw invalidEntry(layerName, tarEntry.path, `with it the layer is larger than ${limits.maxBlobBytes} bytes`);
    }
    this.#fileStart = this.#data.allocate(entry.sizeBytes) * blockSize;
    this.#index.add(entry);
    if (this.#index.sizeBytes > limits.maxIndexBytes) {
      throw invalidLayer(this.#options, `its names and attributes take more than ${limits.maxIndexBytes} bytes`);
    }
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#isWanted) this.#data.write(bytes, this.#fileStart + offset);
  }
}

function checkDigest(hex: string, expected: Digest | undefined, what: string): void {
  if (expected === undefined || `sha256:${hex}` === expected) return;
  throw new ImageError(`${what}: the content has digest sha256:${hex}, not ${expected}`, {
    code: "DigestMismatch",
    stage: "pull",
    object: expected,
  });
}

function invalidLayer(options: ConvertLayerOptions, why: string, cause?: unknown): ImageError {
  return new ImageError(`${options.layerName} cannot be converted: ${why}`, {
    code: "InvalidLayer",
    stage: "convert",
    object: options.layerName,
    cause,
  });
}

function isDamage(error: unknown): boolean {
  return error instanceof TarFormatError || isDecompressorError(error);
}

function translateLayerError(error: unknown, options: ConvertLayerOptions): unknown {
  if (error instanceof TarFormatError) return invalidLayer(options, error.message, error);
  if (isDecompressorError(error)) return invalidLayer(options, `its compressed stream is damaged`, error);
  return translateDiskError(error, "convert", options.layerName);
}
