import { podTemplateOf } from "@isopod/api";
import { openLog } from "./container-runner.ts";
import type { ContainerSlot } from "./container-slot.ts";
import type { Instance, SnapshotSummary } from "./instance.ts";
import type { SavedContainer } from "./instance-record.ts";
import { NodeError } from "./node-error.ts";
import type { PodContext } from "./pod-context.ts";
import type { SnapshotRecord } from "./snapshot-files.ts";

/** What was saved of an instance: its machine, in the directory that was asked for, and what goes with it. */
export interface SavedInstance extends Pick<SnapshotRecord, "podTemplate" | "containers"> {
  readonly summary: SnapshotSummary;
}

/**
 * Saves a running or paused instance into a new directory; it runs on. Throws {@link NodeError} `NotRunning`, what the
 * machine throws, or the signal's reason.
 */
export async function saveInstance(
  context: PodContext,
  directory: string,
  signal: AbortSignal,
): Promise<SavedInstance> {
  const instance = runningInstance(context);
  // Before the machine is saved: what the containers write from here on is in the snapshot, and nothing of it is lost.
  const containers = await Promise.all(context.slots.map(async (slot) => await savedContainer(context, slot)));
  const podTemplate = podTemplateOf(context.pod);
  const summary = await instance.snapshot(directory, signal);
  return { podTemplate, containers, summary };
}

async function savedContainer(context: PodContext, slot: ContainerSlot): Promise<SavedContainer> {
  // A paused instance that an earlier node agent ran is not followed yet.
  if (slot.isRunning) slot.log ??= await openLog(context, slot);
  return { ...slot.record, outputFrom: slot.log?.nextOffset ?? 0 };
}

function runningInstance({ instance, pod, stop, gone, isOver, pause }: PodContext): Instance {
  const { name } = pod.metadata;
  const refuse = (why: string, remedy: string): NodeError =>
    new NodeError(`the instance ${name} ${why}`, { code: "NotRunning", stage: "snapshot", object: name, remedy });
  if (isOver) throw refuse("is over", "Take a snapshot of one that runs.");
  if (stop.signal.aborted || gone.signal.aborted) throw refuse("is being removed", "Take a snapshot of another one.");
  if (instance !== undefined && !instance.ended.aborted && pause.isPossible) return instance;
  throw refuse("does not run yet", "Take the snapshot when it does.");
}
