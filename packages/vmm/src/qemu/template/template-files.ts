import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode, writeFileAtomically } from "@isopod/base";
import type { TemplateShape } from "../../contract.ts";
import { type BackingFile, parseBacking } from "../block-nodes.ts";
import { isRecord } from "../qmp-codec.ts";

/** The files of a template's directory. The manifest is written last: without it there is no template. */
export const templateFiles = Object.freeze({
  manifest: "template.json",
  /** Guest memory, packed by the launcher. */
  memory: "memory.packed",
  /** Device state, as QEMU migrates it. */
  state: "state",
  /** The scratch disk as the guest left it, where its forks' begin. */
  scratch: "scratch.qcow2",
});

export interface TemplateManifest {
  readonly id: string;
  readonly shape: TemplateShape;
  readonly builtMicros: number;
  /** SHA-256 of memory, state and scratch disk, in this order and as one. */
  readonly digest: string;
  /** What the scratch disk has below it, absolute, nearest first. */
  readonly scratchBacking: readonly BackingFile[];
  /** {@link stampOfFiles} of those. */
  readonly scratchStamp: string;
  /** Disks on the SCSI bus whose state was saved: a fork has as many. Absent: none was, and a fork may have any. */
  readonly scsiDisks?: number;
}

export async function writeManifest(directory: string, manifest: TemplateManifest): Promise<void> {
  await writeFileAtomically(join(directory, templateFiles.manifest), `${JSON.stringify(manifest)}\n`);
}

/** Undefined when there is none, or one that cannot be read. */
export async function readManifest(directory: string): Promise<TemplateManifest | undefined> {
  try {
    return parse(JSON.parse(await readFile(join(directory, templateFiles.manifest), "utf8")));
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof SyntaxError || code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

function parse(value: unknown): TemplateManifest | undefined {
  if (!isRecord(value) || !isRecord(value["shape"])) return undefined;
  const { id, builtMicros, digest, scratchStamp } = value;
  const { vcpus, memoryMiB, scratchBytes } = value["shape"];
  if (typeof id !== "string" || typeof builtMicros !== "number" || typeof digest !== "string") return undefined;
  if (typeof vcpus !== "number" || typeof memoryMiB !== "number" || typeof scratchBytes !== "number") return undefined;
  const scratchBacking = parseBacking(value["scratchBacking"]);
  if (typeof scratchStamp !== "string") return undefined;
  const scsiDisks = value["scsiDisks"];
  if (scratchBacking === undefined || (scsiDisks !== undefined && typeof scsiDisks !== "number")) return undefined;
  const known = { id, shape: { vcpus, memoryMiB, scratchBytes }, builtMicros, digest, scratchBacking, scratchStamp };
  return scsiDisks === undefined ? known : { ...known, scsiDisks };
}

/**
 * Tells files that were written to or made anew from what they were, without reading them: a file system's template is
 * as large as the disk. Rejects when one is missing.
 */
export async function stampOfFiles(paths: readonly string[]): Promise<string> {
  const stats = await Promise.all(paths.map(async (path) => await stat(path, { bigint: true })));
  return stats.map(({ size, mtimeNs }) => `${size}:${mtimeNs}`).join(" ");
}

/** What the files take on the host's disk: sparse files count with what they hold. */
export async function diskBytesOf(directory: string): Promise<number> {
  const sizes = (await readdir(directory)).map(async (name) => (await stat(join(directory, name))).blocks * 512);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
