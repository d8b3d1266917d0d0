import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

async function tar(entries: readonly (readonly [string, string | Buffer])[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of entries) archive.entry({ name, mtime: new Date(0) }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** An OCI layout in a tar whose image `name` has these files: `[path, text]`. */
export async function imageArchive(name: string, files: readonly (readonly [string, string])[]): Promise<Buffer> {
  const layer = await tar(files);
  const blobs = new Map<string, Buffer>();
  const put = (bytes: Buffer, mediaType: string): object => {
    blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Cmd: ["/run"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: put(json(config), "application/vnd.oci.image.config.v1+json"),
    layers: [put(gzipSync(layer), "application/vnd.oci.image.layer.v1.tar+gzip")],
  };
  const descriptor = put(json(manifest), manifest.mediaType);
  const manifests = [{ ...descriptor, annotations: { "org.opencontainers.image.ref.name": name } }];
  return await tar([
    ["oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" })],
    ["index.json", JSON.stringify({ schemaVersion: 2, manifests })],
    ...[...blobs].map(([digest, bytes]) => [`blobs/sha256/${digest}`, bytes] as const),
  ]);
}
