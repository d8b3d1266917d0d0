import type { PluggedDisk } from "./qemu/block-nodes.ts";
import type { SlottedMachine } from "./qemu/command-line.ts";
import { VmmError } from "./errors.ts";

/** The kernel's limit for the path of a Unix socket, less the terminating zero. */
const socketPathBytesMax = 107;
/** virtio-blk's serial number field. */
const serialCharactersMax = 20;
/** Descriptors the monitor may hold are limited; this leaves room for its own. */
const filesMax = 300;
/** CPUs the guest kernel is built for. */
const vcpusMax = 32;
/** QEMU's largest rate of a disk. */
const diskLimitMax = 1e15;
/** The monitor's threads beside its virtual CPUs: main, RCU, block workers, with a margin. */
export const monitorThreads = 32;

/** Throws `VmmError` `InvalidSpec` with the first thing that cannot work. */
export function checkMachineSpec(spec: SlottedMachine, socketNames: readonly string[]): void {
  const problem = findProblem(spec, socketNames);
  if (problem === undefined) return;
  throw new VmmError(`machine ${spec.id}: ${problem}`, {
    code: "InvalidSpec",
    stage: "boot",
    object: spec.id,
    remedy: "Correct the machine's description; nothing was started.",
  });
}

function findProblem(spec: SlottedMachine, socketNames: readonly string[]): string | undefined {
  if (!/^[a-z0-9-]{1,63}$/.test(spec.id)) return "its id must be 1 to 63 of a-z, 0-9 and -";
  if (!spec.directory.startsWith("/")) return "its directory must be an absolute path";
  for (const name of socketNames) {
    if (Buffer.byteLength(`${spec.directory}/${name}`) > socketPathBytesMax) {
      return `its directory is too long for a socket in it (${socketPathBytesMax} bytes with the socket's name)`;
    }
  }
  if (!isWithin(spec.vcpus, 1, vcpusMax)) return `vcpus must be 1 to ${vcpusMax}`;
  if (!isWithin(spec.memoryMiB, 32, 1024 * 1024)) return "memoryMiB must be 32 to 1048576";
  if (!isWithin(spec.limits.cpuMilli, 1, 1024 * 1000)) return "limits.cpuMilli must be 1 to 1024000";
  if (!isWithin(spec.limits.memoryMiB, 32, 4 * 1024 * 1024)) return "limits.memoryMiB must be 32 to 4194304";
  // With fewer the monitor aborts in the middle of its work, when it cannot start a thread.
  const pidsMin = spec.vcpus + monitorThreads;
  if (!isWithin(spec.limits.pids, pidsMin, 4_194_304))
    return `limits.pids must be at least ${pidsMin} (vcpus + ${monitorThreads})`;
  for (const [name, most] of Object.entries(spec.limits.io ?? {})) {
    if (!isWithin(most, 1, diskLimitMax)) return `limits.io.${name} must be 1 to ${diskLimitMax}`;
  }
  if (!isWithin(spec.userId, 1, 0xfffffffe)) return "userId must not be root";
  const { network } = spec;
  if (
    network !== undefined &&
    network !== "placeholder" &&
    !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(network.macAddress)
  ) {
    return "network.macAddress is not a MAC address";
  }
  return findDiskProblem(spec.disks);
}

function findDiskProblem(disks: readonly PluggedDisk[]): string | undefined {
  const serials = new Set<string>();
  let files = 0;
  for (const disk of disks) {
    if (!new RegExp(`^[A-Za-z0-9_.-]{1,${serialCharactersMax}}$`).test(disk.serial)) {
      return `disk serial ${JSON.stringify(disk.serial)} must be 1 to ${serialCharactersMax} of A-Z, a-z, 0-9, _, . and -`;
    }
    if (serials.has(disk.serial)) return `disk serial ${disk.serial} is used twice`;
    serials.add(disk.serial);
    if (disk.type === "placeholder" || disk.type === "socket") continue;
    if (disk.type === "qcow2") {
      files += 2;
      continue;
    }
    files += disk.parts.length;
    if (disk.parts.length === 0) return `disk ${disk.serial} has no parts`;
    const odd = disk.parts.find((part) => part.sizeBytes <= 0 || part.sizeBytes % 512 !== 0);
    if (odd !== undefined) return `disk ${disk.serial}: the size of ${odd.path} is not a multiple of 512 bytes`;
  }
  if (files > filesMax) return `its disks have ${files} files, more than ${filesMax}`;
  return undefined;
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
