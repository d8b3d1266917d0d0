import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@isopod/base";
import { type BackingFile, parseBacking } from "./block-nodes.ts";
import type { CgroupPaths } from "./cgroup.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import { isRecord } from "./qmp-codec.ts";

/** The files of a machine's directory. The sockets are the launcher's work. */
export const machineFiles = Object.freeze({ record: "machine.json", qmp: "qmp.sock", agent: "agent.sock" });

export interface SavedParts {
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** Of all disks, in the order of their slots. */
  readonly serials: readonly string[];
  readonly scratch: { readonly path: string; readonly sizeBytes: number; readonly backing: readonly BackingFile[] };
}

/**
 * What a later process needs to find a machine, or to clear away what is left of it. Written without a process before
 * anything is made, and again with it before the monitor may run: there is no instant at which a kill loses anything.
 */
export interface MachineRecord {
  readonly id: string;
  readonly cgroups: CgroupPaths;
  /** The quota of `Machine.limitCpu`. */
  readonly cpuMilli: number;
  /** The name its monitor answers to: a clone's is its zygote's. Absent: `isopod-` and the id. */
  readonly monitorName?: string;
  /** What a snapshot of it is made of; absent for a machine that cannot have one. */
  readonly saved?: SavedParts;
  readonly process?: ProcessIdentity;
}

export async function writeMachineRecord(directory: string, record: MachineRecord): Promise<void> {
  // Renamed, so that a reader sees all or nothing, but not synced: a machine does not outlive the host's memory either.
  const path = join(directory, machineFiles.record);
  await writeFile(`${path}.tmp`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

/** Undefined when the directory has no (readable) record. */
export async function readMachineRecord(directory: string): Promise<MachineRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, machineFiles.record), "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  return parse(text);
}

function parse(text: string): MachineRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(record) || !hasId(record) || !isRecord(record["cgroups"])) return undefined;
  const { version, cpu, memory, pids } = record["cgroups"];
  if (version !== 1 && version !== 2) return undefined;
  if (typeof cpu !== "string" || typeof memory !== "string" || typeof pids !== "string") return undefined;
  const { id, cpuMilli, process: identity } = record;
  if (typeof cpuMilli !== "number") return undefined;
  const saved = parseSaved(record["saved"]);
  const cgroups = { version, cpu, memory, pids } as const;
  const name = record["monitorName"];
  const known = {
    id,
    cpuMilli,
    cgroups,
    ...(saved === undefined ? {} : { saved }),
    ...(typeof name === "string" ? { monitorName: name } : {}),
  };
  if (!isRecord(identity)) return known;
  const { pid, startTicks, bootId } = identity;
  if (typeof pid !== "number" || typeof startTicks !== "string" || typeof bootId !== "string") return undefined;
  return { ...known, process: { pid, startTicks, bootId } };
}

function parseSaved(value: unknown): SavedParts | undefined {
  if (!isRecord(value) || !isRecord(value["scratch"]) || !Array.isArray(value["serials"])) return undefined;
  const { vcpus, memoryMiB } = value;
  const { path, sizeBytes } = value["scratch"];
  const serials = value["serials"].filter((one) => typeof one === "string");
  const backing = parseBacking(value["scratch"]["backing"]);
  if (typeof vcpus !== "number" || typeof memoryMiB !== "number" || backing === undefined) return undefined;
  if (typeof path !== "string" || typeof sizeBytes !== "number") return undefined;
  return { vcpus, memoryMiB, serials, scratch: { path, sizeBytes, backing } };
}

function hasId(
  record: Readonly<Record<string, unknown>>,
): record is Readonly<Record<string, unknown>> & { id: string } {
  return typeof record["id"] === "string";
}
