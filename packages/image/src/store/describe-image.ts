import type { DiskPart, Image } from "../contract.ts";
import { parseImageConfig } from "../registry/image-config.ts";
import type { BlobStore } from "./blob-store.ts";
import type { ImageRecord } from "./image-record.ts";
import type { StorePaths } from "./store-paths.ts";

/** An image as the contract shows it. */
export function describeImage(
  record: ImageRecord,
  references: readonly string[],
  paths: StorePaths,
  blobs: BlobStore,
): Image {
  const { config, architecture, createdMs } = parseImageConfig(Buffer.from(record.config, "base64"), record.digest);
  const disk: DiskPart[] = [{ path: paths.metadataBlob(record.digest), sizeBytes: record.metadataSizeBytes }];
  let sizeBytes = record.metadataSizeBytes;
  // In the order the metadata counts on: lowest first, equal layers once; empty ones take no place.
  for (const diffId of new Set(record.layers.map((layer) => layer.diffId))) {
    const layer = blobs.get(diffId);
    if (layer === undefined) continue;
    sizeBytes += layer.diskBytes;
    if (layer.blobSizeBytes > 0) disk.push({ path: paths.layerData(diffId), sizeBytes: layer.blobSizeBytes });
  }
  return Object.freeze({
    digest: record.digest,
    references,
    config,
    ...(record.accounts === undefined ? {} : { accounts: record.accounts }),
    architecture,
    sizeBytes,
    downloadBytes: record.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
    createdMs,
    disk,
  });
}
