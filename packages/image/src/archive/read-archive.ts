import { createReadStream } from "node:fs";
import { type Digest, digestOf, hexOf } from "../digest.ts";
import { ImageError } from "../image-error.ts";
import { formatReference, parseReference } from "../reference.ts";
import { asArray, asObject, asString, parseJson, stringsOf } from "../registry/json-value.ts";
import {
  type Descriptor,
  type ImageManifest,
  type IndexEntry,
  mediaTypes,
  parseManifest,
} from "../registry/manifest.ts";
import { choosePlatform, noPlatform, type Platform } from "../registry/platform.ts";
import { parseImageConfig } from "../registry/image-config.ts";
import type { ImportSource } from "../store/image-importer.ts";
import type { FileRange, ImageArchive } from "./image-archive.ts";

const maxDocumentBytes = 8 * 1024 * 1024;
const maxIndexDepth = 3;

export interface ReadArchiveOptions {
  /** For messages: the path the user gave. */
  readonly path: string;
  readonly platform: Platform;
}

/**
 * Every image in an archive, as sources whose layers are read from it. An OCI layout is preferred to the `manifest.json`
 * of `docker save` when there are both, since it keeps the image's own digest. Throws `InvalidArchive`, `NoPlatform`, …
 */
export async function readArchive(
  archive: ImageArchive,
  options: ReadArchiveOptions,
): Promise<readonly ImportSource[]> {
  const index = await readDocument(archive, "index.json", options);
  if (index !== undefined) return await readLayout(archive, index, options);
  const list = await readDocument(archive, "manifest.json", options);
  if (list !== undefined) return await readDockerSave(archive, list, options);
  throw invalidArchive(options, "it has neither index.json nor manifest.json");
}

async function readLayout(
  archive: ImageArchive,
  content: Buffer,
  options: ReadArchiveOptions,
): Promise<readonly ImportSource[]> {
  const index = parseManifest(content, mediaTypes.ociIndex, options.path);
  if (index.kind !== "index") throw invalidArchive(options, "its index.json is no index");
  const { platform } = options;
  const images = index.manifests.filter((entry) => {
    return (
      entry.platform === undefined ||
      (entry.platform.os === platform.os && entry.platform.architecture === platform.architecture)
    );
  });
  if (images.length === 0) throw noPlatform(options.path, platform, "no image in the archive is for it");
  return await Promise.all(images.map(async (entry) => await readLayoutImage(archive, entry, options)));
}

async function readLayoutImage(
  archive: ImageArchive,
  entry: IndexEntry,
  options: ReadArchiveOptions,
): Promise<ImportSource> {
  const references = namesOf(entry);
  const name = references[0] ?? `${options.path} (${entry.digest.slice(0, 19)}…)`;
  let current: Descriptor = entry;
  for (let depth = 0; depth <= maxIndexDepth; depth++) {
    const content = await readBlob(archive, current.digest, options);
    const document = parseManifest(content, current.mediaType, name);
    if (document.kind === "index") {
      current = choosePlatform(document, options.platform, name);
      continue;
    }
    const configContent = await readBlob(archive, document.config.digest, options);
    const ranges = await Promise.all(
      document.layers.map(async (layer) => await need(archive, blobName(layer.digest), options)),
    );
    return source(name, current.digest, content, document, configContent, references, ranges, true);
  }
  throw invalidArchive(options, "its index leads to nothing but more indexes");
}

/** containerd and Docker write the whole name; others a name or only a tag, which alone names nothing. */
function namesOf(entry: IndexEntry): readonly string[] {
  const name = entry.annotations["io.containerd.image.name"] ?? entry.annotations["org.opencontainers.image.ref.name"];
  return name === undefined || !/[/:]/.test(name) ? [] : [formatReference(parseReference(name))];
}

/** Such an archive has no manifests: one is made, always the same for the same configuration and layers. */
async function readDockerSave(
  archive: ImageArchive,
  content: Buffer,
  options: ReadArchiveOptions,
): Promise<readonly ImportSource[]> {
  const images = asArray(parseJson(content.toString()));
  if (images === undefined || images.length === 0) throw invalidArchive(options, "its manifest.json lists no images");
  return await Promise.all(
    images.map(async (image) => {
      const fields = asObject(image);
      const configName = asString(fields?.["Config"]);
      if (configName === undefined) throw invalidArchive(options, "an image in its manifest.json has no Config");
      const configContent = await readDocument(archive, configName, options);
      if (configContent === undefined) throw invalidArchive(options, `it lacks ${configName}`);
      const references = stringsOf(fields?.["RepoTags"]).map((tag) => formatReference(parseReference(tag)));
      const name = references[0] ?? `${options.path} (${configName})`;
      const ranges = await Promise.all(
        stringsOf(fields?.["Layers"]).map(async (layer) => await need(archive, layer, options)),
      );
      const { diffIds } = parseImageConfig(configContent, name);
      const document = {
        schemaVersion: 2,
        mediaType: mediaTypes.dockerManifest,
        config: {
          mediaType: "application/vnd.docker.container.image.v1+json",
          size: configContent.length,
          digest: digestOf(configContent),
        },
        layers: ranges.map((range, index) => ({
          mediaType: "application/vnd.docker.image.rootfs.diff.tar",
          size: range.sizeBytes,
          digest: diffIds[index] ?? "",
        })),
      };
      const manifestContent = Buffer.from(JSON.stringify(document));
      const manifest = parseManifest(manifestContent, mediaTypes.dockerManifest, name);
      if (manifest.kind !== "manifest") throw new TypeError("what was made is a manifest");
      const digest = digestOf(manifestContent);
      return source(name, digest, manifestContent, manifest, configContent, references, ranges, false);
    }),
  );
}

function source(
  name: string,
  digest: Digest,
  manifestContent: Uint8Array,
  manifest: ImageManifest,
  configContent: Uint8Array,
  references: readonly string[],
  ranges: readonly FileRange[],
  hasLayerDigests: boolean,
): ImportSource {
  return {
    name,
    digest,
    manifestContent,
    manifest,
    configContent,
    references,
    hasLayerDigests,
    async *openLayer(index, signal, onBytes) {
      const range = ranges[index];
      if (range === undefined) throw new RangeError(`there is no layer ${index}`);
      for await (const chunk of readRange(range, signal)) {
        onBytes(chunk.length);
        yield chunk;
      }
    },
  };
}

async function* readRange(range: FileRange, signal?: AbortSignal): AsyncGenerator<Buffer> {
  if (range.sizeBytes === 0) return;
  const stream = createReadStream(range.path, {
    start: range.offset,
    end: range.offset + range.sizeBytes - 1,
    highWaterMark: 512 * 1024,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const chunk of stream) {
    if (Buffer.isBuffer(chunk)) yield chunk;
  }
}

async function readDocument(
  archive: ImageArchive,
  name: string,
  options: ReadArchiveOptions,
): Promise<Buffer | undefined> {
  const range = await archive.locate(name);
  if (range === undefined) return undefined;
  if (range.sizeBytes > maxDocumentBytes)
    throw invalidArchive(options, `its ${name} is larger than ${maxDocumentBytes} bytes`);
  return Buffer.concat(await Array.fromAsync(readRange(range)));
}

async function readBlob(archive: ImageArchive, digest: Digest, options: ReadArchiveOptions): Promise<Buffer> {
  const content = await readDocument(archive, blobName(digest), options);
  if (content === undefined) throw invalidArchive(options, `it lacks the blob ${digest}`);
  const actual = digestOf(content);
  if (actual === digest) return content;
  throw new ImageError(`the blob ${digest} in ${options.path} has digest ${actual}`, {
    code: "DigestMismatch",
    stage: "load",
    object: options.path,
  });
}

async function need(archive: ImageArchive, name: string, options: ReadArchiveOptions): Promise<FileRange> {
  const range = await archive.locate(name);
  if (range === undefined) throw invalidArchive(options, `it lacks ${name}`);
  return range;
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

function invalidArchive(options: ReadArchiveOptions, why: string): ImageError {
  return new ImageError(`${options.path} cannot be loaded: ${why}`, {
    code: "InvalidArchive",
    stage: "load",
    object: options.path,
  });
}
