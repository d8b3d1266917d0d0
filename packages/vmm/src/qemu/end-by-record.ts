import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@isopod/base";
import { readMachineRecord } from "./machine-record.ts";
import { endProcess } from "./process-identity.ts";
import { removeMachineTraces } from "./qemu-machine.ts";

/**
 * Ends the machine of that directory, if there is one or something is left of it, and removes what its record names.
 * Throws when that cannot be done: the record is then still there.
 */
export async function endByRecord(directory: string, clock: Clock): Promise<void> {
  const record = await readMachineRecord(directory);
  if (record === undefined) return;
  const { process: identity } = record;
  if (identity !== undefined) await endProcess(identity, clock);
  await removeMachineTraces(directory, record, clock);
}

/**
 * Removes a directory in which something is made with a machine, whose own directory is `machine` in it. Throws, and
 * removes no record, as long as something of the machine is left on the host.
 */
export async function removeWorkDirectory(directory: string, clock: Clock): Promise<void> {
  await endByRecord(join(directory, "machine"), clock);
  await rm(directory, { recursive: true, force: true });
}
