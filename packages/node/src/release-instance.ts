import { rm } from "node:fs/promises";
import { backoffDelayMs, type Clock, describeError, settleAll } from "@isopod/base";
import { scratchPathOf } from "./acquire-resources.ts";
import { machineDirectory } from "./instance.ts";
import type { PodContext } from "./pod-context.ts";

/** No step of a release takes this long; one that does is given up and begun again. */
const stepTimeoutMs = 60_000;
const retryBackoff = { initialMs: 1000, maxMs: 60_000 } as const;

/**
 * Ends the VM, if there is one, and forgets it; also one that an earlier node agent left and that does not answer. Throws
 * when something of it could not be removed: its directory then stays, by whose record the next try goes on.
 */
export async function dropInstance(context: PodContext): Promise<void> {
  const { instance, options, record } = context;
  context.isSandboxReady = false;
  await instance?.kill();
  context.instance = undefined;
  const { vmCount } = record.value;
  if (vmCount === 0) return;
  const directory = machineDirectory(context.directory, vmCount);
  await options.vmm.end(directory);
  await rm(directory, { recursive: true, force: true });
}

/**
 * Gives back everything the instance held, notes how its containers ended, and closes its bill. Tries again until all
 * of it is done, with an event that says what is in the way: a pod may be late to go, never stuck. Every step may be
 * repeated.
 */
export async function releaseInstance(context: PodContext, endCause: () => string): Promise<void> {
  const { clock, events } = context.options;
  for (let failures = 0; !context.record.value.isReleased; failures++) {
    try {
      await releaseOnce(context, endCause());
    } catch (error) {
      context.detach.signal.throwIfAborted();
      const message = `the instance could not be taken down yet: ${describeError(error)}`;
      context.logger.warn({ failures, reason: describeError(error) }, "the instance could not be taken down yet");
      events.warning(context.pod, "FailedKillPod", message);
      await clock.sleep(backoffDelayMs(failures, retryBackoff), context.detach.signal);
    }
  }
}

async function releaseOnce(context: PodContext, endCause: string): Promise<void> {
  const { clock, network, images, userIds } = context.options;
  const step = async (what: string, action: () => Promise<unknown>): Promise<void> =>
    await within(clock, stepTimeoutMs, what, action);
  const { instance } = context;
  // A VM that was not found again, or did not answer, is taken to have ended while no node agent watched.
  const wasSeen = instance !== undefined || context.record.value.vmCount === 0;
  await step("ending the virtual machine", async () => await instance?.kill());
  // It is gone: nobody pays for what is in the way of removing its traces.
  closeBill(context, wasSeen ? context.nowMicros : lastProvenMicros(context), endCause);
  for (const slot of context.slots) await slot.log?.close();
  context.noted().saveSoon();
  await step("removing the virtual machine", async () => await dropInstance(context));
  // Side by side: whoever waits for the pod to be gone waits for all of it.
  await settleAll([
    step("removing the network interface", async () => await network.detach(context.podUID)),
    step("releasing the images", async () => await images.release(context.podUID)),
    step("removing the scratch disk", async () => await rm(scratchPathOf(context.directory), { force: true })),
    // The bill is in the API before the end is told: the ledger takes it from there. No time-out: without the API
    // nobody waits for the end of this pod either.
    context.usage.flush(),
  ]);
  if (context.record.value.userId !== 0) userIds.release(context.record.value.userId);
  // Not awaited: on a full disk it is written later, or all of this is done once more by the next node agent.
  context.record.change({ isReleased: true });
  context.record.saveSoon();
}

/** The VM is gone: its containers have ended, at `endMicros` the latest, and so has its bill. */
function closeBill(context: PodContext, endMicros: number, endCause: string): void {
  for (const slot of context.slots) {
    if (!slot.isRunning) continue;
    const startedMicros = slot.current?.startedMicros ?? endMicros;
    const finishedMicros = Math.max(startedMicros, endMicros);
    slot.end({ exitCode: 137, signal: 9, reason: "Error", message: "", startedMicros, finishedMicros });
  }
  const lastEnd = Math.max(0, ...context.slots.map((slot) => slot.current?.exit?.finishedMicros ?? 0));
  context.usage.close(lastEnd === 0 ? endMicros : lastEnd, endCause);
}

/** The last moment at which a VM that was found dead is known to have lived. */
export function lastProvenMicros(context: PodContext): number {
  const started = Math.max(0, ...context.slots.map((slot) => slot.current?.startedMicros ?? 0));
  return Math.min(context.nowMicros, Math.max(started, context.options.lastHeartbeatMicros ?? 0));
}

async function within(clock: Clock, timeoutMs: number, what: string, action: () => Promise<unknown>): Promise<void> {
  const done = new AbortController();
  const late = clock.sleep(timeoutMs, done.signal).then(
    () => {
      throw new Error(`${what} took longer than ${timeoutMs / 1000} s`);
    },
    () => {},
  );
  try {
    await Promise.race([action(), late]);
  } finally {
    done.abort();
  }
}
