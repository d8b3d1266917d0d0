import type { ChildProcess } from "node:child_process";
import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, type Logger, systemErrorCode } from "@isopod/base";
import type { Accelerator } from "../contract.ts";
import { VmmError } from "../errors.ts";
import { checkMachineSpec } from "../machine-spec.ts";
import type { BackingFile } from "./block-nodes.ts";
import { type CgroupPaths, cgroupDirectories, createCgroup, joinCgroup, machineCgroup } from "./cgroup.ts";
import {
  descriptorDirectory,
  incomingCommands,
  type MemoryFile,
  monitorCommand,
  type MonitorRequest,
  type Origin,
  type SlottedMachine,
} from "./command-line.ts";
import { launch } from "./launch.ts";
import type { ClonePlan, MonitorPlan } from "./launch-plan.ts";
import type { Launchers } from "./launchers.ts";
import { machineFiles, type MachineRecord, type SavedParts, writeMachineRecord } from "./machine-record.ts";
import { identifyProcess, type ProcessIdentity } from "./process-identity.ts";
import { QemuMachine, readTail, removeMachineTraces, stderrBytes } from "./qemu-machine.ts";
import { QmpClient } from "./qmp-client.ts";
import { endProcess } from "./process-identity.ts";

/** How machines are booted here; the same for all of one `Vmm`. Paths are the host's. */
export interface BootSettings {
  readonly program: string;
  readonly launchers: Launchers;
  readonly accelerator: Accelerator["name"];
  readonly cgroupRoots: CgroupPaths;
  readonly kernelPath: string;
  readonly initramfsPath: string | undefined;
  readonly commandLine: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const mebibyte = 1024 * 1024;
/** Machines are ended before the service and the rest of the host when memory runs out. */
const outOfMemoryScore = 500;
/** From the exec to QEMU's greeting: 0.1 s on an idle host; this bounds an overloaded one. */
const monitorStartMs = 30_000;

/** How a machine begins: with the kernel of the settings, or with what was saved of another. */
export type Beginning =
  | { readonly type: "kernel"; readonly memory?: MemoryFile }
  /** With `isHeld` the memory is in the state too. */
  | (Origin & { readonly type: "saved" })
  | CloneBeginning;

/** As a clone of a zygote, which stands still until the commands let it go on. */
export interface CloneBeginning {
  readonly type: "clone";
  readonly plan: ClonePlan;
  readonly commands: readonly MonitorRequest[];
  /** What the zygote's monitor answers to. */
  readonly monitorName: string;
  /** Told when the clone begins to join its cgroup; until then, it is in the zygote's. */
  readonly onJoining: (joined: Promise<void>) => void;
  readonly scratchBacking: readonly BackingFile[];
}

/** Starts a machine; returns once its monitor answers. Throws `VmmError`, having left nothing behind. */
export async function startMachine(
  spec: SlottedMachine,
  settings: BootSettings,
  beginning: Beginning,
  onForgotten: () => void,
  signal?: AbortSignal,
): Promise<QemuMachine> {
  checkMachineSpec(spec, [machineFiles.qmp, machineFiles.agent]);
  signal?.throwIfAborted();
  const cgroups = machineCgroup(settings.cgroupRoots, spec.id);
  const saved = savedParts(spec, beginning);
  const isClone = beginning.type === "clone";
  const record: MachineRecord = {
    id: spec.id,
    cpuMilli: spec.limits.cpuMilli,
    cgroups,
    ...(saved === undefined ? {} : { saved }),
    ...(isClone ? { monitorName: beginning.monitorName } : {}),
  };
  // Held here as soon as it exists, because the clean-up below needs it wherever the boot stopped.
  const started: { process?: ProcessIdentity; stderr?: FileHandle; child?: ChildProcess; joined?: Promise<void> } = {};
  await checkEmpty(spec);
  await writeRecord(spec, record);
  try {
    const { memoryMiB, pids } = spec.limits;
    // A start may burst, and be no more than its vCPUs, and the monitor's own threads, can use at once.
    await createCgroup(cgroups, { memoryMiB, pids, cpuMilli: (spec.vcpus + 1) * 1000 });
  } catch (error) {
    await rm(join(spec.directory, machineFiles.record));
    throw error;
  }
  try {
    const child = await launch(isClone ? beginning.plan : launchPlan(spec, settings, beginning, cgroups), {
      launchers: settings.launchers,
      id: spec.id,
      signal,
      record: async (pid) => {
        const identity = await identifyProcess(pid);
        if (identity === undefined) throw new Error(`the launcher, process ${pid}, is gone`);
        started.process = identity;
        // Beside what comes next: see the launcher's `join_cgroups`, which a clone was made too late for.
        if (isClone) {
          started.joined = joinCgroup(cgroups, pid);
          beginning.onJoining(started.joined);
        }
        started.stderr = await open(`/proc/${pid}/fd/2`, "r");
        await writeRecord(spec, { ...record, process: identity });
      },
    });
    if (child !== undefined) started.child = child;
    const { process: identity, stderr, joined } = started;
    if (identity === undefined || stderr === undefined) throw new Error("the launcher ran without being recorded");
    const qmp = await connectToMonitor(spec, beginning, child, stderr, signal);
    const { clock, logger } = settings;
    const { directory } = spec;
    const parts = { directory, record, process: identity, qmp, child, stderr, clock, logger, onForgotten, settings };
    return new QemuMachine(joined === undefined ? parts : { ...parts, joined });
  } catch (error) {
    await endChild(started.child);
    if (isClone && started.process !== undefined) await endProcess(started.process, settings.clock);
    await started.stderr?.close();
    await removeMachineTraces(spec.directory, record, settings.clock);
    throw error;
  }
}

/** What the launcher is told of a machine that is no clone. */
export function launchPlan(
  spec: SlottedMachine,
  settings: BootSettings,
  beginning: Exclude<Beginning, CloneBeginning>,
  cgroups: CgroupPaths,
): MonitorPlan & { readonly spares: readonly number[] } {
  const binds = beginning.type === "saved" ? [] : kernelBinds(settings);
  const origin: Origin =
    beginning.type === "saved"
      ? beginning
      : {
          ...beginning,
          kernelPath: "/kernel",
          initramfsPath: settings.initramfsPath === undefined ? undefined : "/initramfs",
        };
  const command = monitorCommand(spec, settings.accelerator, settings.commandLine, origin);
  const isZygote = beginning.type === "saved" && beginning.zygote !== undefined;
  return {
    type: "monitor",
    program: settings.program,
    arguments: command.arguments,
    environment: command.environment,
    userId: isZygote ? undefined : spec.userId,
    binds,
    descriptorsAt: descriptorDirectory,
    // Each clone of a zygote has its own.
    ...(isZygote ? {} : { fileBytes: largestFileBytes(spec) }),
    hasKvm: settings.accelerator === "kvm",
    cgroups: cgroupDirectories(cgroups),
    stderrBytes,
    outOfMemoryScore,
    descriptors: command.descriptors,
    spares: command.spares,
  };
}

/** What a snapshot will need to know; undefined of a machine that lacks what a fork must have. */
function savedParts(spec: SlottedMachine, beginning: Beginning): SavedParts | undefined {
  const [, scratch] = spec.disks;
  if (spec.network === undefined || scratch?.type !== "qcow2") return undefined;
  const { path, sizeBytes, backingPath } = scratch;
  const own = backingPath === undefined ? [] : [{ format: "raw", path: backingPath } as const];
  const backing = beginning.type === "kernel" ? own : beginning.scratchBacking;
  const serials = spec.disks.map((disk) => disk.serial);
  return { vcpus: spec.vcpus, memoryMiB: spec.memoryMiB, serials, scratch: { path, sizeBytes, backing } };
}

function kernelBinds({ kernelPath, initramfsPath }: BootSettings): MonitorPlan["binds"] {
  const kernel = { source: kernelPath, target: "kernel" };
  return initramfsPath === undefined ? [kernel] : [kernel, { source: initramfsPath, target: "initramfs" }];
}

/** A disk with its metadata, or what is saved of the memory: the monitor has no reason to write a larger file. */
export function largestFileBytes({ memoryMiB, disks }: SlottedMachine): number {
  const sizes = disks.map((disk) => (disk.type === "qcow2" ? disk.sizeBytes : 0));
  return Math.ceil(Math.max(memoryMiB * mebibyte, ...sizes) * 1.01) + 64 * mebibyte;
}

/** The socket listens since before the exec, so the connection waits in its queue; a monitor that ends closes it. */
async function connectToMonitor(
  spec: SlottedMachine,
  beginning: Beginning,
  child: ChildProcess | undefined,
  stderr: FileHandle,
  signal: AbortSignal | undefined,
): Promise<QmpClient> {
  try {
    return await QmpClient.connect(join(spec.directory, machineFiles.qmp), {
      timeoutMs: monitorStartMs,
      first: firstCommands(beginning),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof VmmError && cause.code === "BootTimeout") throw cause;
    await endChild(child);
    const said = (await readTail(stderr)).trim();
    throw new VmmError(
      `machine ${spec.id}: the monitor ended while starting: ${said === "" ? "it said nothing" : said}`,
      {
        code: "LaunchFailed",
        stage: "boot",
        object: spec.id,
        remedy: "The monitor's own words above name the cause.",
        cause,
      },
    );
  }
}

function firstCommands(beginning: Beginning): readonly MonitorRequest[] {
  switch (beginning.type) {
    case "kernel":
      return [];
    case "saved":
      return incomingCommands(beginning.isHeld === true ? "in the state" : "in the file");
    case "clone":
      return beginning.commands;
  }
}

async function endChild(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await ended;
}

async function writeRecord(spec: SlottedMachine, record: MachineRecord): Promise<void> {
  try {
    await writeMachineRecord(spec.directory, record);
  } catch (cause) {
    const isFull = ["ENOSPC", "EDQUOT"].includes(systemErrorCode(cause) ?? "");
    throw new VmmError(`machine ${spec.id}: its directory ${spec.directory} cannot be written`, {
      code: isFull ? "NoSpace" : "InvalidSpec",
      stage: "boot",
      object: spec.id,
      remedy: isFull ? "Free some space on the host and try again." : "The directory must exist and be writable.",
      cause,
    });
  }
}

/** A directory that already has a machine would lose its record to this one. */
async function checkEmpty(spec: SlottedMachine): Promise<void> {
  const names = await readdir(spec.directory).catch(() => []);
  if (names.length === 0) return;
  throw new VmmError(
    `machine ${spec.id}: its directory ${spec.directory} is not empty (${names.slice(0, 5).join(", ")})`,
    {
      code: "InvalidSpec",
      stage: "boot",
      object: spec.id,
      remedy: "Give each machine a new directory.",
    },
  );
}
