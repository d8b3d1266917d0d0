import type { Resources } from "./acquire-resources.ts";
import { guestVolumes } from "./container-plan.ts";
import { type RestartPolicy, runContainer, type VmRun } from "./container-runner.ts";
import type { ContainerSlot } from "./container-slot.ts";
import type { Instance } from "./instance.ts";
import type { PodContext } from "./pod-context.ts";

/**
 * Runs the pod's containers in one VM until they are done, the VM is lost, or the pod has stopped. When it settles, no
 * container of this VM is driven any more. Rejects when the VM is there but cannot be governed; it is ended then.
 */
export async function runContainers(
  context: PodContext,
  instance: Instance,
  made: Resources,
): Promise<"done" | "lost" | "stopped"> {
  const { signal, stop, detach, options } = context;
  const lost = new AbortController();
  const loss = instance.lost.then(() => lost.abort(new Error("the virtual machine is gone")));
  const running: Promise<void>[] = [];
  try {
    await runInOrder(context, instance, made, AbortSignal.any([signal, lost.signal]), running);
    return "done";
  } catch (error) {
    if (!signal.aborted) {
      // When the VM is gone every call fails, and some fail before its end is known.
      const patience = new AbortController();
      await Promise.race([loss, options.clock.sleep(1000, patience.signal).catch(() => {})]);
      patience.abort();
    }
    const isLost = instance.exit !== undefined;
    lost.abort(error);
    // No two runs may drive one container: all of this one's end before another VM is made. In a stop they end by
    // themselves, at the end of the grace by the VM's.
    if (!isLost && !signal.aborted) await instance.kill();
    await Promise.allSettled(running);
    detach.signal.throwIfAborted();
    if (stop.signal.aborted) return "stopped";
    if (isLost) return "lost";
    throw error;
  }
}

/** As kubelet: init containers one after another, sidecars beside all that follow, then the others at once. */
async function runInOrder(
  context: PodContext,
  instance: Instance,
  made: Resources,
  signal: AbortSignal,
  running: Promise<void>[],
): Promise<void> {
  const known = new Map((await instance.containers(signal)).map((one) => [one.id, one]));
  // Found again: an earlier node agent may have ended before the limit was due.
  if (known.size > 0) await instance.machine.limitCpu();
  // A VM that has containers has its volumes.
  const volumes = known.size > 0 ? [] : guestVolumes(context.pod, made.sources);
  if (volumes.length > 0) await instance.putVolumes(volumes, signal);
  const run: VmRun = { instance, resources: made, known, signal };
  const begin = (slot: ContainerSlot, policy: RestartPolicy): Promise<void> => {
    const ended = runContainer(context, slot, policy, run);
    // Whoever needs the outcome awaits it; a sidecar's failure is the VM's, and shows elsewhere too.
    ended.catch(() => {});
    running.push(ended);
    return ended;
  };
  const policy = context.pod.spec.restartPolicy ?? "Always";
  for (const slot of context.slots.filter((one) => one.isInit)) {
    if (slot.isSidecar) {
      void begin(slot, "Always");
      continue;
    }
    const hasSucceeded = slot.current?.exit?.exitCode === 0;
    if (hasSucceeded && slot.current?.vm === context.record.value.vmCount) continue;
    // What an init container did in another VM went with it.
    if (hasSucceeded) slot.wait("PodInitializing");
    await begin(slot, policy === "Never" ? "Never" : "OnFailure");
    if (slot.current?.exit?.exitCode !== 0) return;
  }
  const apps = context.slots.filter((one) => !one.isInit);
  for (const slot of apps) if (slot.current === undefined) slot.wait("ContainerCreating");
  await Promise.all(apps.map(async (slot) => await begin(slot, policy)));
}
