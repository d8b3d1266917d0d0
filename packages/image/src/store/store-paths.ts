import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { type Digest, hexOf } from "../digest.ts";

/**
 * Where things are in a store's directory:
 * `layers/<diffID>.data` and `.index`, `metadata/<manifest>.erofs`, `images/<manifest>.json`,
 * `references/<hash of the name>.json`, `holds/<hash of the holder>.json`, `tmp/` for what is being made.
 */
export class StorePaths {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get directories(): readonly string[] {
    return [this.layers, this.metadata, this.images, this.references, this.holds, this.temporary];
  }

  get layers(): string {
    return join(this.root, "layers");
  }
  get metadata(): string {
    return join(this.root, "metadata");
  }
  get images(): string {
    return join(this.root, "images");
  }
  get references(): string {
    return join(this.root, "references");
  }
  get holds(): string {
    return join(this.root, "holds");
  }
  get temporary(): string {
    return join(this.root, "tmp");
  }

  layerData(diffId: Digest): string {
    return join(this.layers, `${hexOf(diffId)}.data`);
  }
  layerIndex(diffId: Digest): string {
    return join(this.layers, `${hexOf(diffId)}.index`);
  }
  metadataBlob(manifest: Digest): string {
    return join(this.metadata, `${hexOf(manifest)}.erofs`);
  }
  image(manifest: Digest): string {
    return join(this.images, `${hexOf(manifest)}.json`);
  }
  reference(name: string): string {
    return join(this.references, `${hashOf(name)}.json`);
  }
  hold(holder: string): string {
    return join(this.holds, `${hashOf(holder)}.json`);
  }
  /** A new name each time. */
  newTemporary(): string {
    return join(this.temporary, randomUUID());
  }
}

/** Names and holders may hold characters, or be of a length, that file names may not. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}
