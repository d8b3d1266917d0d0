import { createHash } from "node:crypto";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { mustRun } from "./program.ts";
import type { TestRegistry } from "./registry.ts";

/** An entry of a layer; without content it is what its header says. */
export type LayerEntry = readonly [header: Partial<Header> & { readonly name: string }, content?: string | Buffer];

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

async function tar(entries: readonly LayerEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, content] of entries) {
    const fixed = { mode: 0o755, mtime: new Date(0), ...header };
    if (content === undefined) archive.entry(fixed);
    else archive.entry(fixed, content);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/**
 * Writes an OCI layout of the busybox image with one more layer into `directory` (made here). Entries are taken as they
 * are: hostile ones are what some tests are about.
 */
export async function writeDerivedImage(
  registry: TestRegistry,
  directory: string,
  entries: readonly LayerEntry[],
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await cp(registry.layoutDirectory, directory, { recursive: true });
  const blobPath = (digest: string): string => join(directory, "blobs", "sha256", digest.replace("sha256:", ""));
  const read = async (digest: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(blobPath(digest), "utf8")) as Record<string, unknown>;
  const put = async (bytes: Buffer, mediaType: string): Promise<Descriptor> => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    await writeFile(blobPath(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));

  const indexPath = join(directory, "index.json");
  const index = JSON.parse(await readFile(indexPath, "utf8")) as {
    manifests: (Descriptor & { annotations: object })[];
  };
  const [first] = index.manifests;
  if (first === undefined) throw new Error("the busybox layout has no manifest");
  const manifest = (await read(first.digest)) as { config: Descriptor; layers: Descriptor[] };
  const base = (await read(manifest.config.digest)) as { config: object; rootfs: { diff_ids: string[] } };
  const layer = await tar(entries);
  const diffId = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
  const merged = {
    ...base,
    config: { ...base.config, ...config },
    rootfs: { ...base.rootfs, diff_ids: [...base.rootfs.diff_ids, diffId] },
  };
  const made = {
    ...manifest,
    config: await put(json(merged), manifest.config.mediaType),
    layers: [...manifest.layers, await put(gzipSync(layer), "application/vnd.oci.image.layer.v1.tar+gzip")],
  };
  const descriptor = await put(json(made), first.mediaType);
  await writeFile(indexPath, json({ ...index, manifests: [{ ...descriptor, annotations: first.annotations }] }));
}

/** The layout as one file, as `isopod image load` takes it. */
export async function packLayout(directory: string): Promise<string> {
  const path = `${directory}.tar`;
  await mustRun("tar", ["-C", directory, "-cf", path, "."]);
  return path;
}
