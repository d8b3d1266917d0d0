import type { ContainerState } from "@isopod/guest";
import type { ContainerSlot } from "./container-slot.ts";
import type { Instance } from "./instance.ts";
import type { SavedContainer } from "./instance-record.ts";
import type { PodContext } from "./pod-context.ts";

/**
 * Of what the original wrote while it was being saved, at most so much is in a clone's log too. Without a bound the guest
 * might not have it any more, and would tell of bytes that were lost.
 */
const sharedOutputBytes = 64 * 1024;

/**
 * Makes a VM that was forked from a snapshot the pod's own: its guest becomes this instance, and its containers go on as
 * this pod's, from now on. May be repeated until the record has it, by another process too.
 */
export async function takeUpClone(context: PodContext, instance: Instance): Promise<void> {
  const { record, pause, usage, options, pod, signal } = context;
  const clone = record.value.clone;
  if (clone?.containers === undefined || pause.identity === undefined) return;
  await instance.connect(signal);
  await instance.reidentify(pause.identity(), signal);
  context.stage("configured");
  const states = await instance.containers(signal);
  const { nowMicros } = context;
  for (const slot of context.slots) {
    const saved = clone.containers.find((one) => one.name === slot.container.name);
    if (saved !== undefined) takeUp(slot, saved, states, record.value.vmCount, nowMicros);
    // It may be that of the VM before.
    await slot.log?.close();
    slot.log = undefined;
  }
  context.stage("started");
  record.change({ clone: { snapshotUID: clone.snapshotUID } });
  await context.noted().save();
  usage.open(nowMicros);
  for (const slot of context.slots.filter((one) => one.isRunning)) {
    options.events.normal(pod, "Started", `Took up container ${slot.container.name} as it was saved`, slot.fieldPath);
  }
  pause.check();
  context.publish();
}

/** Makes a container of the guest the pod's own. Pure but for the slot. */
export function takeUp(
  slot: ContainerSlot,
  saved: SavedContainer,
  states: readonly ContainerState[],
  vm: number,
  nowMicros: number,
): void {
  if (saved.current === undefined) return;
  const isAnew = slot.current !== undefined;
  const attempt = attemptOf(slot.index, saved, states);
  // Logs are by this number, so a clone that lost its machine and begins again gets another.
  slot.restartCount = Math.max(attempt.restartCount, isAnew ? slot.restartCount + 1 : 0);
  slot.previous = isAnew ? slot.current : undefined;
  slot.imageDigest = saved.imageDigest;
  slot.waiting = undefined;
  const { exit } = saved.current;
  if (exit !== undefined && attempt.id === saved.current.id) slot.current = { ...saved.current, vm };
  else slot.current = { id: attempt.id, vm, startedMicros: nowMicros, outputFrom: attempt.outputFrom };
}

/** A container that was restarted while its machine was being saved has a later attempt in the guest. */
function attemptOf(index: number, saved: SavedContainer, states: readonly ContainerState[]) {
  const known = (restartCount: number): ContainerState | undefined =>
    states.find(({ id }) => id === `c${index}-${restartCount}`);
  const own = states.find(({ id }) => id === saved.current?.id);
  const isLater = own === undefined && known(saved.restartCount + 1) !== undefined;
  const restartCount = isLater ? saved.restartCount + 1 : saved.restartCount;
  const state = isLater ? known(restartCount) : own;
  const outputFrom = Math.max(isLater ? 0 : saved.outputFrom, (state?.outputBytes ?? 0) - sharedOutputBytes);
  return { id: state?.id ?? saved.current?.id ?? `c${index}-${restartCount}`, restartCount, outputFrom };
}
