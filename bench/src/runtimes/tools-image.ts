import { createHash } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeBusyboxLayout } from "../installation.ts";
import { isInstalled, run } from "../program.ts";

/** What runs inside instances, by the part of the bench that needs it. */
export const toolOf: Readonly<Record<string, string>> = Object.freeze({
  ping: "ping",
  throughput: "iperf3",
  disk: "fio",
});

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Paths of a program and of every library it is linked with, from the output of ldd. */
export function parseLdd(output: string): readonly string[] {
  return [...output.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = ""]) => path);
}

/**
 * Writes the busybox image with a layer of those tools that this machine has (Debian's fio, iperf3 and ping, with their
 * libraries), as an OCI layout. Every contender gets the same.
 */
export async function writeToolsLayout(directory: string): Promise<void> {
  await writeBusyboxLayout(directory);
  const paths = new Set<string>();
  for (const tool of Object.values(toolOf)) {
    if (!(await isInstalled(tool))) continue;
    const program = (await run("sh", ["-c", 'command -v "$1"', "sh", tool])).trim();
    for (const path of [program, ...parseLdd(await run("ldd", [program]))]) paths.add(path);
  }
  if (paths.size === 0) return;
  const tar = join(directory, "layer.tar");
  await run("tar", ["-C", "/", "--dereference", "-cf", tar, ...[...paths].map((path) => path.slice(1))]);
  const diffId = digestOf(await readFile(tar));
  await run("gzip", ["-1", tar]);
  const layer = await readFile(`${tar}.gz`);
  await rm(`${tar}.gz`);
  await addLayer(directory, layer, diffId);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function addLayer(directory: string, layer: Buffer, diffId: string): Promise<void> {
  const blobPath = (digest: string): string => join(directory, "blobs/sha256", digest.replace("sha256:", ""));
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, "utf8"));
  const put = async (bytes: Buffer, mediaType: string): Promise<Descriptor> => {
    const digest = digestOf(bytes);
    await writeFile(blobPath(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const indexPath = join(directory, "index.json");
  const index = (await read(indexPath)) as { readonly manifests: readonly Descriptor[] };
  const [first] = index.manifests;
  if (first === undefined) throw new Error("the busybox layout has no manifest");
  const manifest = (await read(blobPath(first.digest))) as {
    readonly config: Descriptor;
    readonly layers: readonly Descriptor[];
  };
  const config = (await read(blobPath(manifest.config.digest))) as {
    readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  };
  const rootfs = { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, diffId] };
  const made = {
    ...manifest,
    config: await put(json({ ...config, rootfs }), manifest.config.mediaType),
    layers: [...manifest.layers, await put(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
  };
  const descriptor = { ...first, ...(await put(json(made), first.mediaType)) };
  await writeFile(indexPath, json({ ...index, manifests: [descriptor] }));
}
