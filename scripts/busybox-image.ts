/**
 * Makes a small container image from this machine's static busybox (Debian's busybox-static), as an OCI layout.
 *
 *   node scripts/busybox-image.ts DIRECTORY [BUSYBOX]
 *
 * The same busybox gives the same bytes. Push it with: skopeo copy oci:DIRECTORY:latest docker://HOST/NAME:TAG
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

const directories = [
  "bin",
  "dev",
  "etc",
  "home",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
  "usr",
  "usr/bin",
  "var",
  "var/tmp",
];

const files: Readonly<Record<string, string>> = {
  "etc/passwd":
    "root:x:0:0:root:/root:/bin/sh\nwww:x:1000:1000:www:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\nwww:x:1000:\nnogroup:x:65534:\n",
};

async function layer(busybox: string): Promise<Buffer> {
  const archive = pack();
  const fixed = { mtime: new Date(0), uid: 0, gid: 0, uname: "", gname: "" };
  for (const name of directories) {
    const mode = name === "tmp" || name === "var/tmp" ? 0o1777 : name === "root" ? 0o700 : 0o755;
    archive.entry({ ...fixed, name: `${name}/`, type: "directory", mode });
  }
  archive.entry({ ...fixed, name: "bin/busybox", mode: 0o755 }, await readFile(busybox));
  const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" })
    .split("\n")
    .filter((one) => one !== "");
  for (const applet of applets.toSorted()) {
    if (applet === "busybox") continue;
    archive.entry({ ...fixed, name: `bin/${applet}`, type: "symlink", linkname: "busybox", mode: 0o777 });
  }
  for (const [name, text] of Object.entries(files)) archive.entry({ ...fixed, name, mode: 0o644 }, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes the layout; its one image is tagged `latest`. */
export async function writeBusyboxImage(directory: string, busybox = "/bin/busybox"): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const tar = await layer(busybox);
  const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  const layerDescriptor = await put(gzipSync(tar), "application/vnd.oci.image.layer.v1.tar+gzip");
  const config = {
    created: "1970-01-01T00:00:00Z",
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["sh"] },
    rootfs: { type: "layers", diff_ids: [diffId] },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: await put(json(config), "application/vnd.oci.image.config.v1+json"),
    layers: [layerDescriptor],
  };
  const descriptor = await put(json(manifest), "application/vnd.oci.image.manifest.v1+json");
  const index = {
    schemaVersion: 2,
    manifests: [{ ...descriptor, annotations: { "org.opencontainers.image.ref.name": "latest" } }],
  };
  await writeFile(join(directory, "index.json"), json(index));
  await writeFile(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , directory, busybox] = process.argv;
  if (directory === undefined) {
    console.error("usage: node scripts/busybox-image.ts DIRECTORY [BUSYBOX]");
    process.exit(2);
  }
  await writeBusyboxImage(directory, busybox);
}
