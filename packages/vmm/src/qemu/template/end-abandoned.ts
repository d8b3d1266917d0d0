import type { Clock } from "@isopod/base";
import { readMachineRecord } from "../machine-record.ts";
import { endProcess } from "../process-identity.ts";
import { removeMachineTraces } from "../qemu-machine.ts";

/**
 * Ends the machine of that directory, if one is left of a service that was killed over it, and removes its cgroup. For
 * machines that nobody wants back: those which templates and snapshots are made with.
 */
export async function endAbandoned(directory: string, clock: Clock): Promise<void> {
  const record = await readMachineRecord(directory);
  if (record === undefined) return;
  const { process: identity } = record;
  if (identity !== undefined) await endProcess(identity, clock);
  await removeMachineTraces(directory, record, clock);
}
