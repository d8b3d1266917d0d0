import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { IsopodError, settleAll, systemErrorCode } from "@isopod/base";

export interface GuestArtifacts {
  /** Uncompressed ELF with the PVH note. */
  readonly kernelPath: string;
  /** Uncompressed cpio. */
  readonly initramfsPath: string;
  /** Over both files: changes with either. */
  readonly digest: string;
}

export class ArtifactError extends IsopodError<"MissingArtifact" | "DamagedArtifact"> {}

interface Output {
  readonly sha256: string;
  readonly sizeBytes: number;
}

const distDirectory = join(dirname(fileURLToPath(import.meta.url)), "..", "dist");

/**
 * Unpacks the guest's kernel and initramfs into `cacheDirectory`, in files named by digest: made once, used by every
 * VM and every process. Both the packed and the unpacked bytes are compared with the manifests of the repository.
 */
export async function guestArtifacts(cacheDirectory: string, dist = distDirectory): Promise<GuestArtifacts> {
  // Both are waited for, so that an error leaves no write going on.
  const [kernel, agent] = await settleAll([
    unpack(dist, "kernel.json", "vmlinux", cacheDirectory),
    unpack(dist, "agent.json", "agent.cpio", cacheDirectory),
  ]);
  const digest = sha256(Buffer.from(`${kernel.sha256} ${agent.sha256}`));
  return { kernelPath: kernel.path, initramfsPath: agent.path, digest };
}

async function unpack(
  dist: string,
  manifest: string,
  name: string,
  cacheDirectory: string,
): Promise<{ readonly path: string; readonly sha256: string }> {
  const text = await readDistFile(join(dist, manifest));
  const unpacked = outputOf(text.toString(), manifest, name);
  const path = join(cacheDirectory, `${name}-${unpacked.sha256.slice(0, 32)}`);
  if (await isIntact(path, unpacked)) return { path, sha256: unpacked.sha256 };
  const packed = await readDistFile(join(dist, `${name}.zst`));
  check(packed, outputOf(text.toString(), manifest, `${name}.zst`), `${name}.zst`);
  const content = await promisify(zstdDecompress)(packed, { maxOutputLength: unpacked.sizeBytes });
  check(content, unpacked, name);
  await mkdir(cacheDirectory, { recursive: true });
  const temporary = `${path}.tmp-${process.pid}-${Math.random().toString(36).slice(2, 10)}`;
  try {
    await writeFile(temporary, content, { mode: 0o644, flush: true });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return { path, sha256: unpacked.sha256 };
}

async function readDistFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ArtifactError(`the guest's ${path} cannot be read`, {
      code: "MissingArtifact",
      object: path,
      remedy: "It is part of the repository: check it out again, or run packages/guest/kernel/build and agent/build.",
      cause,
    });
  }
}

function outputOf(manifest: string, name: string, output: string): Output {
  const parsed: unknown = JSON.parse(manifest);
  if (typeof parsed === "object" && parsed !== null && "outputs" in parsed) {
    const entries = Object.entries(Object(parsed.outputs));
    const found: unknown = entries.find(([key]) => key === output)?.[1];
    if (typeof found === "object" && found !== null && "sha256" in found && "sizeBytes" in found) {
      const { sha256: digest, sizeBytes } = found;
      if (typeof digest === "string" && typeof sizeBytes === "number") return { sha256: digest, sizeBytes };
    }
  }
  throw new ArtifactError(`${name} has no output ${output}`, { code: "DamagedArtifact", object: name });
}

async function isIntact(path: string, expected: Output): Promise<boolean> {
  try {
    const content = await readFile(path);
    return content.length === expected.sizeBytes && sha256(content) === expected.sha256;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}

function check(content: Buffer, expected: Output, name: string): void {
  if (content.length === expected.sizeBytes && sha256(content) === expected.sha256) return;
  throw new ArtifactError(`${name} is not what its manifest says`, {
    code: "DamagedArtifact",
    object: name,
    remedy: "Check packages/guest/dist out again.",
  });
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
