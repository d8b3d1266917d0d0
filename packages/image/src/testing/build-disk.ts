import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DiskPart } from "../contract.ts";
import { digestOf } from "../digest.ts";
import { buildMetadata } from "../erofs/build-metadata.ts";
import { convertLayer } from "../layer/convert-layer.ts";
import { defaultLayerLimits } from "../layer/layer-entry.ts";

/** Converts layers, lowest first, in `directory`, without store and registry; returns the parts of the disk. */
export async function buildDisk(layers: readonly Buffer[], directory: string): Promise<readonly DiskPart[]> {
  await mkdir(directory, { recursive: true });
  const parts: DiskPart[] = [];
  const indexes: { name: string; indexPath: string; dataPath: string }[] = [];
  for (const [number, tar] of layers.entries()) {
    const dataPath = join(directory, `${number}.data`);
    const indexPath = join(directory, `${number}.index`);
    const layerName = `layer ${number + 1} of test`;
    const options = { layerName, digest: undefined, diffId: digestOf(tar), dataPath, indexPath };
    const { blobSizeBytes } = await convertLayer(chunksOf(tar), { ...options, limits: defaultLayerLimits });
    indexes.push({ name: layerName, indexPath, dataPath });
    if (blobSizeBytes > 0) parts.push({ path: dataPath, sizeBytes: blobSizeBytes });
  }
  const outputPath = join(directory, "metadata.erofs");
  const uuid = Buffer.alloc(16, 0x5a);
  const { metadataSizeBytes } = buildMetadata({ imageName: "test", layers: indexes, uuid, outputPath });
  return [{ path: outputPath, sizeBytes: metadataSizeBytes }, ...parts];
}

/** Pieces of odd sizes, so that every boundary is met. */
export async function* chunksOf(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += 65_521) yield content.subarray(at, at + 65_521);
}
