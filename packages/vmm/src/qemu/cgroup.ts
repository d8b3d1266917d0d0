import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Clock, settleAll, systemErrorCode } from "@isopod/base";
import { VmmError } from "../errors.ts";
import { killIfThere } from "./process-identity.ts";

/** The directories of one machine's cgroups. In version 2 all three are the same. */
export interface CgroupPaths {
  readonly version: 1 | 2;
  readonly cpu: string;
  readonly memory: string;
  readonly pids: string;
}

export interface CgroupLimits {
  /** Until {@link limitCgroupCpu} says otherwise. */
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly pids: number;
}

/** Every machine's cgroup is a child of this one. */
const parentName = "isopod";
const controllers = ["cpu", "memory", "pids"] as const;
/** Kernel default; long enough that a tenth of a core is still 10 ms at a stretch. */
const cpuPeriodMicros = 100_000;
/** How often, 10 ms apart, a cgroup is tried to be removed: on an overloaded host, a killed thread runs late to its end. */
const leavingAttempts = 300;

/** Where cgroups of machines go on this host, from the mount table. Throws `VmmError` `CgroupUnavailable`. */
export async function findCgroupRoots(): Promise<CgroupPaths> {
  return await chooseCgroupRoots(await readFile("/proc/self/mounts", "utf8"), async (mountPoint) => {
    return await readFile(join(mountPoint, "cgroup.controllers"), "utf8").catch(() => "");
  });
}

/** Version 2 where it has the controllers; else the three hierarchies of version 1 that some hosts still mount. */
export async function chooseCgroupRoots(
  mounts: string,
  controllersAt: (mountPoint: string) => Promise<string>,
): Promise<CgroupPaths> {
  const v1: Record<string, string> = {};
  for (const line of mounts.split("\n")) {
    const [, mountPoint = "", type = "", options = ""] = line.split(" ");
    if (type === "cgroup2") {
      const available = (await controllersAt(mountPoint)).trim().split(" ");
      if (controllers.every((name) => available.includes(name))) {
        const path = join(mountPoint, parentName);
        return { version: 2, cpu: path, memory: path, pids: path };
      }
    } else if (type === "cgroup") {
      for (const option of options.split(",")) v1[option] ??= join(mountPoint, parentName);
    }
  }
  const { cpu, memory, pids } = v1;
  if (cpu !== undefined && memory !== undefined && pids !== undefined) return { version: 1, cpu, memory, pids };
  throw new VmmError("no cgroup hierarchy with the controllers cpu, memory and pids is mounted", {
    code: "CgroupUnavailable",
    stage: "boot",
    object: "/sys/fs/cgroup",
    remedy: "Mount cgroup version 2 with: mount -t cgroup2 none /sys/fs/cgroup",
  });
}

export function machineCgroup(roots: CgroupPaths, id: string): CgroupPaths {
  return {
    version: roots.version,
    cpu: join(roots.cpu, id),
    memory: join(roots.memory, id),
    pids: join(roots.pids, id),
  };
}

/** The directories to create, join and remove, each once. */
export function cgroupDirectories(paths: CgroupPaths): readonly string[] {
  return [...new Set([paths.cpu, paths.memory, paths.pids])];
}

/**
 * Creates the cgroup with its bounds.
 * Throws `VmmError`: `InvalidSpec` when another machine is in it, `CgroupUnavailable`. Then nothing is left of it.
 */
export async function createCgroup(paths: CgroupPaths, limits: CgroupLimits): Promise<void> {
  const memoryBytes = String(limits.memoryMiB * 1024 * 1024);
  const made: string[] = [];
  try {
    await mkdir(dirname(paths.cpu), { recursive: true });
    if (paths.version === 2) await delegateControllers(dirname(paths.cpu));
    for (const directory of cgroupDirectories(paths)) {
      await claim(directory);
      made.push(directory);
    }
    await Promise.all([
      writeFile(join(paths.memory, paths.version === 2 ? "memory.max" : "memory.limit_in_bytes"), memoryBytes),
      writeFile(join(paths.pids, "pids.max"), String(limits.pids)),
      limitCgroupCpu(paths, limits.cpuMilli),
    ]);
  } catch (cause) {
    for (const directory of made) await rmdir(directory).catch(() => {});
    const isInUse = systemErrorCode(cause) === "EBUSY";
    throw new VmmError(`the cgroup ${paths.memory} ${isInUse ? "has another machine in it" : "cannot be set up"}`, {
      code: isInUse ? "InvalidSpec" : "CgroupUnavailable",
      stage: "boot",
      object: paths.memory,
      remedy: isInUse
        ? "The ids of machines must be unique on the host."
        : "The service needs write access to the host's cgroups; a container needs them delegated to it.",
      cause,
    });
  }
}

/** Makes a directory that is new: counters of an earlier machine would be read as this one's. */
async function claim(directory: string): Promise<void> {
  await mkdir(dirname(directory), { recursive: true });
  try {
    await mkdir(directory);
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
    // Left by a service that died in between; removing one with processes in it fails.
    await rmdir(directory);
    await mkdir(directory);
  }
}

async function delegateControllers(parent: string): Promise<void> {
  const request = controllers.map((name) => `+${name}`).join(" ");
  for (const directory of [dirname(parent), parent]) {
    const path = join(directory, "cgroup.subtree_control");
    const enabled = (await readFile(path, "utf8")).trim().split(" ");
    if (!controllers.every((name) => enabled.includes(name))) await writeFile(path, request);
  }
}

/** Has a running process join. Of one that has ended, or whose cgroup has been removed as it had, nothing comes. */
export async function joinCgroup(paths: CgroupPaths, pid: number): Promise<void> {
  try {
    for (const directory of cgroupDirectories(paths)) await writeFile(join(directory, "cgroup.procs"), String(pid));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== "ESRCH" && code !== "ENOENT") throw error;
  }
}

/** Allows `cpuMilli` thousandths of a core from now on. */
export async function limitCgroupCpu(paths: CgroupPaths, cpuMilli: number): Promise<void> {
  const quotaMicros = Math.max(1000, Math.round((cpuMilli * cpuPeriodMicros) / 1000));
  if (paths.version === 2) return await writeFile(join(paths.cpu, "cpu.max"), `${quotaMicros} ${cpuPeriodMicros}`);
  await writeFile(join(paths.cpu, "cpu.cfs_period_us"), String(cpuPeriodMicros));
  await writeFile(join(paths.cpu, "cpu.cfs_quota_us"), String(quotaMicros));
}

/** Bounds the memory anew. Throws the system's error when more is in use than that and cannot be given back. */
export async function limitCgroupMemory(paths: CgroupPaths, memoryMiB: number): Promise<void> {
  const file = paths.version === 2 ? "memory.max" : "memory.limit_in_bytes";
  await writeFile(join(paths.memory, file), String(memoryMiB * 1024 * 1024));
}

/** True when the kernel killed something in the cgroup because it outgrew its memory bound. */
export async function wasKilledForMemory(paths: CgroupPaths): Promise<boolean> {
  const file = join(paths.memory, paths.version === 2 ? "memory.events" : "memory.oom_control");
  const text = await readFile(file, "utf8").catch(() => "");
  return /^oom_kill [1-9]/m.test(text);
}

/** Removes a cgroup, with what is left in it of a monitor that made other processes. One that does not exist is fine. */
export async function removeCgroup(paths: CgroupPaths, clock: Clock): Promise<void> {
  await settleAll(cgroupDirectories(paths).map(async (one) => await removeEach(one, clock)));
}

async function removeEach(directory: string, clock: Clock): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await rmdir(directory);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === "ENOENT") return;
      // A process that has just been reaped leaves its cgroup a moment later.
      if (code !== "EBUSY" || attempt === leavingAttempts) throw error;
      await endProcesses(directory);
      await clock.sleep(10);
    }
  }
}

async function endProcesses(directory: string): Promise<void> {
  const list = await readFile(join(directory, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of list.split("\n").filter((one) => one !== "")) killIfThere(Number(pid));
}
