import { readFile, statfs } from "node:fs/promises";

/** What one of the node's pressure conditions says; `message` has the numbers. */
export interface Pressure {
  readonly type: "MemoryPressure" | "DiskPressure" | "PIDPressure";
  readonly isUnder: boolean;
  readonly reason: string;
  readonly message: string;
}

/** kubelet's `memory.available<100Mi`. */
const leastMemoryMiB = 100;
/** Of the file system that holds images and disks; kubelet's 10 % would give up tens of GiB of a large disk. */
const leastDiskShare = 0.05;
const mostTaskShare = 0.9;

export interface HostLoad {
  readonly availableMemoryMiB: number;
  readonly availableDiskBytes: number;
  readonly totalDiskBytes: number;
  readonly tasks: number;
  readonly maxTasks: number;
}

/** The three pressure conditions of a host in this state. Pure. */
export function pressures(load: HostLoad): readonly Pressure[] {
  const { availableMemoryMiB, availableDiskBytes, totalDiskBytes, tasks, maxTasks } = load;
  const isMemoryShort = availableMemoryMiB < leastMemoryMiB;
  const isDiskShort = availableDiskBytes < totalDiskBytes * leastDiskShare;
  const areTasksMany = tasks > maxTasks * mostTaskShare;
  const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
  return [
    {
      type: "MemoryPressure",
      isUnder: isMemoryShort,
      reason: isMemoryShort ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
      message: `${availableMemoryMiB} MiB of memory are available`,
    },
    {
      type: "DiskPressure",
      isUnder: isDiskShort,
      reason: isDiskShort ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
      message: `${gib(availableDiskBytes)} of ${gib(totalDiskBytes)} are available where images and disks are kept`,
    },
    {
      type: "PIDPressure",
      isUnder: areTasksMany,
      reason: areTasksMany ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
      message: `${tasks} of ${maxTasks} tasks exist`,
    },
  ];
}

/** Reads the host's state; `directory` is on the file system that holds images and disks. */
export async function readHostLoad(directory: string): Promise<HostLoad> {
  const [memory, load, pidMax, disk] = await Promise.all([
    readFile("/proc/meminfo", "utf8"),
    readFile("/proc/loadavg", "utf8"),
    readFile("/proc/sys/kernel/pid_max", "utf8"),
    statfs(directory),
  ]);
  const availableKiB = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(memory)?.[1] ?? Number.NaN);
  return {
    availableMemoryMiB: Math.floor(availableKiB / 1024),
    availableDiskBytes: disk.bavail * disk.bsize,
    totalDiskBytes: disk.blocks * disk.bsize,
    // "0.20 0.18 0.12 1/523 11206": running and existing tasks.
    tasks: Number(/ \d+\/(\d+) /.exec(load)?.[1] ?? Number.NaN),
    maxTasks: Number(pidMax),
  };
}
