import { createHash } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { VmmError } from "../errors.ts";
import { isRecord } from "./qmp-codec.ts";

const distDirectory = fileURLToPath(new URL("../../dist/", import.meta.url));

/** The launcher as an executable file below `cacheDirectory`, unpacked once per version. */
export async function launcherBinary(cacheDirectory: string): Promise<string> {
  const { sha256, sizeBytes } = await readManifest();
  const path = join(cacheDirectory, `isopod-launcher-${sha256.slice(0, 16)}`);
  if (await hasDigest(path, sha256)) return path;
  const compressed = await readFile(join(distDirectory, "isopod-launcher.zst"));
  const binary = await promisify(zstdDecompress)(compressed, { maxOutputLength: sizeBytes });
  if (digestOf(binary) !== sha256) throw damaged("isopod-launcher.zst does not match launcher.json");
  await mkdir(cacheDirectory, { recursive: true });
  const temporary = `${path}.tmp-${process.pid}-${performance.now()}`;
  try {
    const file = await open(temporary, "wx", 0o755);
    try {
      await file.writeFile(binary);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, 0o755);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return path;
}

async function readManifest(): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const manifest: unknown = JSON.parse(await readFile(join(distDirectory, "launcher.json"), "utf8"));
  const outputs = isRecord(manifest) ? manifest["outputs"] : undefined;
  const binary = isRecord(outputs) ? outputs["isopod-launcher"] : undefined;
  if (!isRecord(binary) || typeof binary["sha256"] !== "string" || typeof binary["sizeBytes"] !== "number") {
    throw damaged("launcher.json does not describe the launcher");
  }
  return { sha256: binary["sha256"], sizeBytes: binary["sizeBytes"] };
}

async function hasDigest(path: string, sha256: string): Promise<boolean> {
  const content = await readFile(path).catch(() => undefined);
  return content !== undefined && digestOf(content) === sha256;
}

function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function damaged(what: string): VmmError {
  return new VmmError(what, {
    code: "LaunchFailed",
    stage: "boot",
    object: distDirectory,
    remedy: "The installation is damaged: install it again, or run packages/vmm/launcher/build.",
  });
}
