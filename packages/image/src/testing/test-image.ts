import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Digest, digestOf, hexOf } from "../digest.ts";
import { mediaTypes } from "../registry/manifest.ts";

export interface TestLayer {
  readonly tar: Buffer;
  readonly compression?: "none" | "gzip" | "zstd";
}

export interface TestBlob {
  readonly digest: Digest;
  readonly content: Buffer;
}

/** An image as its documents and blobs, ready to be pushed or written as an OCI layout. */
export interface TestImage {
  readonly manifest: TestBlob;
  readonly config: TestBlob;
  readonly layers: readonly TestBlob[];
  readonly diffIds: readonly Digest[];
}

export interface TestImageOptions {
  readonly architecture?: string;
  readonly os?: string;
  readonly containerConfig?: Readonly<Record<string, unknown>>;
  /** Makes the image another one. */
  readonly comment?: string;
  /** Changes the manifest before it gets its digest. */
  readonly alterManifest?: (manifest: Record<string, unknown>) => unknown;
}

const suffixes = { none: "", gzip: "+gzip", zstd: "+zstd" } as const;

export function buildTestImage(layers: readonly TestLayer[], options: TestImageOptions = {}): TestImage {
  const diffIds = layers.map((layer) => digestOf(layer.tar));
  const config = blobOf(
    JSON.stringify({
      architecture: options.architecture ?? "amd64",
      os: options.os ?? "linux",
      created: "2024-05-06T07:08:09Z",
      comment: options.comment,
      config: options.containerConfig ?? {},
      rootfs: { type: "layers", diff_ids: diffIds },
    }),
  );
  const blobs = layers.map((layer) => blobOf(compress(layer)));
  const document: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(config, "application/vnd.oci.image.config.v1+json"),
    layers: blobs.map((blob, index) =>
      descriptorOf(blob, `application/vnd.oci.image.layer.v1.tar${suffixes[layers[index]?.compression ?? "gzip"]}`),
    ),
  };
  const manifest = blobOf(JSON.stringify(options.alterManifest?.(document) ?? document));
  return { manifest, config, layers: blobs, diffIds };
}

export function blobOf(content: string | Buffer): TestBlob {
  const bytes = Buffer.from(content);
  return { digest: digestOf(bytes), content: bytes };
}

export function descriptorOf(blob: TestBlob, mediaType: string): Readonly<Record<string, unknown>> {
  return { mediaType, digest: blob.digest, size: blob.content.length };
}

function compress({ tar, compression = "gzip" }: TestLayer): Buffer {
  if (compression === "gzip") return gzipSync(tar, { level: 1 });
  return compression === "zstd" ? zstdCompressSync(tar) : tar;
}

/** Writes an OCI layout that names the image `reference`. */
export async function writeLayout(directory: string, image: TestImage, reference?: string): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  for (const blob of [image.manifest, image.config, ...image.layers]) {
    await writeFile(join(blobs, hexOf(blob.digest)), blob.content);
  }
  const annotations = reference === undefined ? {} : { "org.opencontainers.image.ref.name": reference };
  const manifests = [{ ...descriptorOf(image.manifest, mediaTypes.ociManifest), annotations }];
  await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

/** Pushes by the distribution API, without checks, so that wrong images can be made. */
export async function pushImage(registry: string, repository: string, tag: string, image: TestImage): Promise<void> {
  for (const blob of [image.config, ...image.layers]) await pushBlob(registry, repository, blob);
  await putManifest(registry, repository, tag, image.manifest, mediaTypes.ociManifest);
}

export async function pushBlob(registry: string, repository: string, blob: TestBlob): Promise<void> {
  const started = await fetch(`http://${registry}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = new URL(started.headers.get("location") ?? "", `http://${registry}`);
  location.searchParams.set("digest", blob.digest);
  await expectOk(await fetch(location, { method: "PUT", body: new Uint8Array(blob.content) }));
}

export async function putManifest(
  registry: string,
  repository: string,
  tag: string,
  blob: TestBlob,
  mediaType: string,
) {
  const url = `http://${registry}/v2/${repository}/manifests/${tag}`;
  const headers = { "content-type": mediaType };
  await expectOk(await fetch(url, { method: "PUT", headers, body: new Uint8Array(blob.content) }));
}

async function expectOk(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
}
