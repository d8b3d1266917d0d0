import { open } from "node:fs/promises";
import type { TemplateShape } from "../../contract.ts";
import { monitorThreads } from "../../machine-spec.ts";
import type { SlottedMachine } from "../command-line.ts";

/** Nobody: a machine that makes a template, or turns what was saved into one, runs no tenant's code. */
export const workUserId = 65534;
/**
 * Of what is behind the image slot meanwhile. Larger than any image's disk: a fork keeps the size until a change is
 * announced, and QEMU announces none of a read-only disk.
 */
export const imageBytes = 2 ** 40;
/** The monitor, its translated code, and the page cache of its files beside the guest's memory. */
const slackMiB = 512;

/** A machine of ours with a placeholder in the network's slot; it is to have its memory in {@link makeWorkMemory}. */
export function workMachine(
  id: string,
  directory: string,
  { vcpus, memoryMiB }: Omit<TemplateShape, "scratchBytes">,
  disks: SlottedMachine["disks"],
): SlottedMachine {
  const limits = { cpuMilli: vcpus * 1000, memoryMiB: memoryMiB + slackMiB, pids: vcpus + monitorThreads };
  return { id, directory, vcpus, memoryMiB, limits, userId: workUserId, network: "placeholder", disks };
}

/** A new sparse file that such a machine may have as its shared memory. */
export async function makeWorkMemory(path: string, memoryMiB: number): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.truncate(memoryMiB * 1024 * 1024);
  await file.chown(workUserId, workUserId);
}
