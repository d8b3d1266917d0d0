import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { CollectResult } from "../contract.ts";
import { isDigest } from "../digest.ts";
import type { BlobStore } from "./blob-store.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Mutex } from "./mutex.ts";
import type { StorePaths } from "./store-paths.ts";

export interface CollectParts {
  readonly paths: StorePaths;
  readonly mutex: Mutex;
  readonly blobs: BlobStore;
  readonly catalogue: Catalogue;
}

/**
 * Removes images without name and holder, then layers no image has, then metadata blobs a crash left alone.
 * Inside the mutex no image can be committed; layers a pull is about to use are pinned by it.
 */
export async function collectGarbage({ paths, mutex, blobs, catalogue }: CollectParts): Promise<CollectResult> {
  return await mutex.run(async () => {
    let removedBlobs = 0;
    let freedBytes = 0;
    for (const { digest } of catalogue.images) {
      const { blocks } = await stat(paths.metadataBlob(digest));
      // Looked at in the turn that removes it: a hold does not wait for the mutex.
      if (catalogue.referencesOf(digest).length > 0 || catalogue.holdersOf(digest).length > 0) continue;
      freedBytes += blocks * 512;
      removedBlobs++;
      await catalogue.removeImage(digest);
    }
    const used = new Set(catalogue.images.flatMap((image) => image.layers.map((layer) => layer.diffId)));
    for (const diffId of blobs.diffIds) {
      if (used.has(diffId) || blobs.isPinned(diffId)) continue;
      freedBytes += await blobs.remove(diffId);
      removedBlobs++;
    }
    for (const name of await readdir(paths.metadata)) {
      const digest = `sha256:${name.replace(/\.erofs$/, "")}`;
      if (isDigest(digest) && catalogue.image(digest) !== undefined) continue;
      freedBytes += (await stat(join(paths.metadata, name))).blocks * 512;
      removedBlobs++;
      await rm(join(paths.metadata, name), { force: true });
    }
    return { removedBlobs, freedBytes };
  });
}
