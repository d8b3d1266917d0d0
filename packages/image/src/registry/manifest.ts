import { type Digest, isDigest } from "../digest.ts";
import { ImageError, type ImageErrorCode } from "../image-error.ts";
import { asArray, asObject, asSize, asString, type JsonObject, parseJson } from "./json-value.ts";

export const mediaTypes = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
} as const;

export const acceptedManifests = Object.values(mediaTypes).join(", ");

const configTypes = ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/** Compression is told from the content; these only say that a blob is a tar layer. */
const layerType =
  /^application\/vnd\.(docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?|oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?)$/;

/** Docker's own limit is 127; a pod's disk is a list of as many files. */
const maxLayers = 512;
const maxIndexEntries = 4096;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface ImageManifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
}

export interface IndexEntry extends Descriptor {
  /** Undefined when the index does not say. */
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string } | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Docker calls it a manifest list. */
export interface ImageIndex {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly IndexEntry[];
}

/**
 * Parses a manifest or an index. `declaredType` is what the registry or the descriptor said it is; the document's own
 * word counts more. `name` is for messages. Throws `InvalidManifest`, `UnsupportedMediaType`.
 */
export function parseManifest(content: Uint8Array, declaredType: string, name: string): ImageManifest | ImageIndex {
  const document = asObject(parseJson(Buffer.from(content).toString()));
  if (document === undefined) throw manifestError("InvalidManifest", name, "it is not a JSON object");
  const hasManifests = document["manifests"] !== undefined;
  const hasLayers = document["layers"] !== undefined || document["config"] !== undefined;
  // Readers could take such a document for one or for the other (CVE-2021-41190).
  if (hasManifests && hasLayers) throw manifestError("InvalidManifest", name, "it is a manifest and an index at once");
  const mediaType = asString(document["mediaType"]) ?? declaredType.split(";")[0]?.trim() ?? "";
  if (document["schemaVersion"] === 1 || mediaType.startsWith("application/vnd.docker.distribution.manifest.v1+")) {
    throw manifestError("UnsupportedMediaType", name, "it has the retired schema 1");
  }
  const isIndex = mediaType === mediaTypes.dockerList || mediaType === mediaTypes.ociIndex;
  const isManifest = mediaType === mediaTypes.dockerManifest || mediaType === mediaTypes.ociManifest;
  if (isIndex || (!isManifest && hasManifests)) return parseIndex(document, mediaType, name);
  if (isManifest || hasLayers) return parseImageManifest(document, mediaType, name);
  throw manifestError("UnsupportedMediaType", name, `its media type is ${JSON.stringify(mediaType.slice(0, 100))}`);
}

function parseImageManifest(document: JsonObject, mediaType: string, name: string): ImageManifest {
  const config = descriptor(document["config"], name, "its config");
  if (!configTypes.includes(config.mediaType)) {
    const shown = JSON.stringify(config.mediaType.slice(0, 100));
    throw manifestError("UnsupportedMediaType", name, `it is no container image: its config is ${shown}`);
  }
  const layers = asArray(document["layers"]) ?? [];
  if (layers.length > maxLayers) throw manifestError("InvalidManifest", name, `it has more than ${maxLayers} layers`);
  return {
    kind: "manifest",
    mediaType,
    config,
    layers: layers.map((layer, index) => {
      const parsed = descriptor(layer, name, `layer ${index + 1}`);
      if (layerType.test(parsed.mediaType)) return parsed;
      const shown = JSON.stringify(parsed.mediaType.slice(0, 100));
      throw manifestError("UnsupportedMediaType", name, `layer ${index + 1} is ${shown}`);
    }),
  };
}

function parseIndex(document: JsonObject, mediaType: string, name: string): ImageIndex {
  const manifests = asArray(document["manifests"]) ?? [];
  if (manifests.length > maxIndexEntries) throw manifestError("InvalidManifest", name, "its index is too long");
  return {
    kind: "index",
    mediaType,
    manifests: manifests.map((entry, index): IndexEntry => {
      const parsed = descriptor(entry, name, `manifest ${index + 1}`);
      const fields = asObject(entry) ?? {};
      const platform = asObject(fields["platform"]);
      const annotations = Object.entries(asObject(fields["annotations"]) ?? {});
      return {
        ...parsed,
        platform:
          platform === undefined
            ? undefined
            : {
                os: asString(platform["os"]) ?? "",
                architecture: asString(platform["architecture"]) ?? "",
                variant: asString(platform["variant"]) ?? "",
              },
        annotations: Object.fromEntries(
          annotations.flatMap(([key, value]) => (typeof value === "string" ? [[key, value] as const] : [])),
        ),
      };
    }),
  };
}

function descriptor(value: unknown, name: string, what: string): Descriptor {
  const fields = asObject(value);
  const digest = asString(fields?.["digest"]);
  const sizeBytes = asSize(fields?.["size"]);
  if (fields === undefined || digest === undefined || !isDigest(digest) || sizeBytes === undefined) {
    throw manifestError("InvalidManifest", name, `${what} has no valid digest and size`);
  }
  return { mediaType: asString(fields["mediaType"]) ?? "", digest, sizeBytes };
}

export function manifestError(code: ImageErrorCode, name: string, why: string): ImageError {
  return new ImageError(`the manifest of ${name} cannot be used: ${why}`, { code, stage: "pull", object: name });
}
