import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Accelerator, TemplateShape } from "../../contract.ts";

/** Changes with slots, devices, arguments of the machine, and the form of a template's files. */
const layoutVersion = 2;

/** What all templates of one service depend on, beside their shape. */
export interface TemplateBase {
  readonly accelerator: Accelerator["name"];
  /** As in `QEMU 7.2.22`. */
  readonly version: string;
  readonly commandLine: string;
  /** Digest of kernel and initramfs. */
  readonly guestDigest: string;
  /** A template made on one CPU need not run on another. */
  readonly cpuModel: string;
}

/** A template's id: equal for equal machines, different as soon as anything saved could differ. */
export function templateId(base: TemplateBase, shape: TemplateShape): string {
  const { accelerator, version, commandLine, guestDigest, cpuModel } = base;
  const { vcpus, memoryMiB, scratchBytes } = shape;
  const all = [layoutVersion, accelerator, version, commandLine, guestDigest, cpuModel, vcpus, memoryMiB, scratchBytes];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16);
}

/** SHA-256 over the contents of files, in order. */
export async function digestOfFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths)
    await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, { end: false });
  return hash.digest("hex");
}
