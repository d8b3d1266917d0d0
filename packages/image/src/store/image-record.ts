import type { ImageAccounts } from "../contract.ts";
import { type Digest, isDigest } from "../digest.ts";
import { asArray, asObject, asSize, asString, parseJson } from "../registry/json-value.ts";

export interface LayerRecord {
  /** Of the blob in the registry. */
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly mediaType: string;
  /** Compressed. */
  readonly sizeBytes: number;
}

/** An image as it is kept in `images/`: everything needed to describe it, and its documents as they were signed. */
export interface ImageRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes of the manifest and the configuration, base64: their digests must stay what they are. */
  readonly manifest: string;
  readonly config: string;
  /** Lowest first. */
  readonly layers: readonly LayerRecord[];
  readonly metadataSizeBytes: number;
  /** Not in records of before; who does not know it passes over it. So the version stayed. */
  readonly accounts?: ImageAccounts;
}

export function encodeImageRecord(record: ImageRecord): string {
  return `${JSON.stringify({ version: 1, ...record })}\n`;
}

/** Undefined when it is no record of this version. */
export function decodeImageRecord(text: string): ImageRecord | undefined {
  const fields = asObject(parseJson(text));
  if (fields === undefined || fields["version"] !== 1) return undefined;
  const digest = asString(fields["digest"]);
  const mediaType = asString(fields["mediaType"]);
  const manifest = asString(fields["manifest"]);
  const config = asString(fields["config"]);
  const metadataSizeBytes = asSize(fields["metadataSizeBytes"]);
  const layers = asArray(fields["layers"])?.map(decodeLayer);
  if (digest === undefined || !isDigest(digest) || mediaType === undefined || manifest === undefined) return undefined;
  if (config === undefined || metadataSizeBytes === undefined || layers === undefined) return undefined;
  const whole = layers.filter((layer) => layer !== undefined);
  if (whole.length !== layers.length) return undefined;
  const accounts = decodeAccounts(fields["accounts"]);
  const optional = accounts === undefined ? {} : { accounts };
  return { digest, mediaType, manifest, config, layers: whole, metadataSizeBytes, ...optional };
}

function decodeAccounts(value: unknown): ImageAccounts | undefined {
  const fields = asObject(value);
  const passwd = asString(fields?.["passwd"]);
  const group = asString(fields?.["group"]);
  return passwd === undefined || group === undefined ? undefined : { passwd, group };
}

function decodeLayer(value: unknown): LayerRecord | undefined {
  const fields = asObject(value);
  const digest = asString(fields?.["digest"]);
  const diffId = asString(fields?.["diffId"]);
  const mediaType = asString(fields?.["mediaType"]);
  const sizeBytes = asSize(fields?.["sizeBytes"]);
  if (digest === undefined || diffId === undefined || mediaType === undefined || sizeBytes === undefined)
    return undefined;
  if (!isDigest(digest) || !isDigest(diffId)) return undefined;
  return { digest, diffId, mediaType, sizeBytes };
}
