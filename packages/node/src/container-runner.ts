import { join } from "node:path";
import { backoffDelayMs, describeError, IsopodError, isAbort } from "@isopod/base";
import { type ContainerState, type ExitStatus, GuestError } from "@isopod/guest";
import type { Resources } from "./acquire-resources.ts";
import type { PodSources } from "./container-environment.ts";
import { ContainerLog, pruneAttempts } from "./container-log.ts";
import { containerPlan } from "./container-plan.ts";
import type { ContainerSlot } from "./container-slot.ts";
import type { Instance } from "./instance.ts";
import type { ContainerAttempt } from "./instance-record.ts";
import { NodeError } from "./node-error.ts";
import type { PodContext } from "./pod-context.ts";
import { fetchReferences } from "./pod-inputs.ts";

export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** One VM's worth of running containers. */
export interface VmRun {
  readonly instance: Instance;
  readonly resources: Resources;
  /** Containers the guest knew when the run began. */
  readonly known: ReadonlyMap<string, ContainerState>;
  /** Aborts at a stop, at a detach, and when the VM is lost. */
  readonly signal: AbortSignal;
}

type Exit = NonNullable<ContainerAttempt["exit"]>;

/** As kubelet: 10 s doubling to 5 min, forgotten after 10 min of running. */
const crashBackoff = { initialMs: 10_000, maxMs: 300_000 } as const;
const crashResetMicros = 600_000_000;
/** A config map that is missing is looked for more often than a broken container is tried. */
const configBackoff = { initialMs: 1000, maxMs: 10_000 } as const;
/** How long a VM may use whole CPUs after a container of it has started. */
const startBurstMs = 500;
/** After the end of a container its last output may take this long; a guest that never ends it is not believed. */
const lastOutputMs = 30_000;
/** How far a guest's clock may lie behind when it tells of an end that was heard of at once. */
const clockSlackMicros = 2_000_000;

/** Where the logs of a container's attempts are. */
export function logDirectoryOf(context: PodContext, slot: ContainerSlot): string {
  return join(context.directory, "logs", slot.container.name);
}

/** The log of the attempt that runs, to be written on. */
export async function openLog(context: PodContext, slot: ContainerSlot): Promise<ContainerLog> {
  const from = slot.current?.outputFrom ?? 0;
  return await ContainerLog.open(logDirectoryOf(context, slot), slot.restartCount, { from });
}

/**
 * Runs one container until it has ended for good, as its restart policy says. A container that runs already is followed
 * on. Returns early, with the container waiting, when the pod is to stop; rejects when the VM or its agent fail.
 */
export async function runContainer(
  context: PodContext,
  slot: ContainerSlot,
  policy: RestartPolicy,
  run: VmRun,
): Promise<void> {
  for (;;) {
    const isResumed = slot.current !== undefined && slot.isRunning && run.known.has(slot.current.id);
    const isFinished = slot.current?.exit !== undefined && slot.waiting === undefined;
    if (!isResumed && !isFinished) {
      if (context.stop.signal.aborted) return;
      await start(context, slot, run);
    }
    if (slot.isRunning) await followContainer(context, slot, run.instance, isResumed);
    const exit = slot.current?.exit;
    if (exit === undefined) return;
    const isAgain = policy === "Always" || (policy === "OnFailure" && exit.exitCode !== 0);
    if (!isAgain || !context.mayRestart) return;
    await backOff(context, slot, exit, run);
    if (context.stop.signal.aborted) return;
    slot.wait("ContainerCreating");
  }
}

/** As kubelet: the first restart is immediate, the back-off begins with the second. */
async function backOff(context: PodContext, slot: ContainerSlot, exit: Exit, run: VmRun): Promise<void> {
  const { clock, events } = context.options;
  if (exit.finishedMicros - exit.startedMicros > crashResetMicros) slot.crashes = 0;
  const delayMs = slot.crashes === 0 ? 0 : backoffDelayMs(slot.crashes - 1, crashBackoff);
  slot.crashes += 1;
  if (delayMs === 0) return;
  const { name, namespace } = context.pod.metadata;
  const told = `back-off ${delayMs / 1000}s restarting failed container=${slot.container.name} pod=${name}_${namespace}`;
  slot.wait("CrashLoopBackOff", told);
  const news = `Back-off restarting failed container ${slot.container.name}`;
  events.warning(context.pod, "BackOff", news, slot.fieldPath);
  context.publish();
  await clock.sleep(delayMs, run.signal).catch(() => {});
  if (context.stop.signal.aborted) {
    // It ends as what it was: ended, not waiting; the VM was held until now.
    slot.waiting = undefined;
    context.usage.heldUntil(context.nowMicros);
  }
  run.signal.throwIfAborted();
}

/** Starts the next attempt, trying again while what stops it may pass. */
async function start(context: PodContext, slot: ContainerSlot, run: VmRun): Promise<void> {
  const { clock, events } = context.options;
  for (let failures = 0; ; failures++) {
    try {
      return await startOnce(context, slot, run, failures > 0);
    } catch (error) {
      run.signal.throwIfAborted();
      if (isAbort(error) || isSessionFailure(error)) throw error;
      const isConfig = error instanceof NodeError && error.code === "CreateContainerConfigError";
      const remedy = error instanceof IsopodError && error.remedy !== undefined ? `. ${error.remedy}` : "";
      const message = `${describeError(error)}${remedy}`;
      slot.wait(isConfig ? "CreateContainerConfigError" : "CreateContainerError", message);
      context.logger.warn({ container: slot.container.name, reason: message }, "the container could not be created");
      events.warning(context.pod, "Failed", `Error: ${message}`, slot.fieldPath);
      context.publish();
      await clock.sleep(backoffDelayMs(failures, isConfig ? configBackoff : crashBackoff), run.signal);
    }
  }
}

/** The agent cannot be trusted to know what it has: only another VM helps. */
function isSessionFailure(error: unknown): boolean {
  return error instanceof GuestError && ["Disconnected", "Unreachable", "TimedOut", "BadAnswer"].includes(error.code);
}

async function startOnce(context: PodContext, slot: ContainerSlot, run: VmRun, isRetry: boolean): Promise<void> {
  const { instance, resources } = run;
  const image = resources.images.get(slot.imageDigest);
  if (image === undefined) throw new NodeError(`image ${slot.imageDigest} is not held`, { code: "Internal" });
  const before = { restartCount: slot.restartCount, current: slot.current, previous: slot.previous };
  // An attempt without an end that the guest does not know was never begun: its number is used now.
  const isRestart = slot.current?.exit !== undefined;
  const attempt = { id: "", vm: context.record.value.vmCount, startedMicros: context.nowMicros };
  try {
    if (slot.current !== undefined && isRestart) {
      await remove(run, slot.current.id);
      slot.previous = slot.current;
      slot.restartCount += 1;
    }
    const id = `c${slot.index}-${slot.restartCount}`;
    if (isRetry) await remove(run, id);
    // Kubernetes reads config maps and secrets anew for every attempt.
    const sources = isRetry || isRestart ? await freshSources(context, run) : resources.sources;
    const config = { ...image, diskSerial: resources.imageSerials.get(image.digest) ?? "" };
    const plan = containerPlan(context.pod, slot.container, config, sources, id);
    const directory = logDirectoryOf(context, slot);
    await slot.log?.close();
    slot.log = await ContainerLog.open(directory, slot.restartCount);
    await pruneAttempts(directory, slot.restartCount);
    slot.current = { ...attempt, id };
    // Before the start: an attempt nobody remembers would run a second time after a crash.
    await context.noted().save();
    context.options.events.normal(context.pod, "Created", `Created container: ${slot.container.name}`, slot.fieldPath);
    const started = await instance.startContainer(plan, run.signal);
    const startedMicros = clamp(started.startedMicros, attempt.startedMicros, context.nowMicros);
    slot.current = { ...attempt, id, startedMicros };
    for (const [stage, micros] of Object.entries(started.stageMicros)) context.stage(`guest.${stage}`, micros);
  } catch (error) {
    const refusal = startRefusal(error);
    if (refusal === undefined) {
      Object.assign(slot, before);
      throw error;
    }
    const { startedMicros } = attempt;
    const id = `c${slot.index}-${slot.restartCount}`;
    slot.current = {
      ...attempt,
      id,
      exit: { ...refusal, signal: 0, startedMicros, finishedMicros: context.nowMicros },
    };
    slot.waiting = undefined;
    context.options.events.warning(context.pod, "Failed", `Error: ${refusal.message}`, slot.fieldPath);
    context.noted().saveSoon();
    context.publish();
    return;
  }
  slot.waiting = undefined;
  context.stage("started");
  context.noted().saveSoon();
  context.usage.open(slot.current.startedMicros);
  context.pause.check();
  context.publish();
  context.options.events.normal(context.pod, "Started", `Started container ${slot.container.name}`, slot.fieldPath);
  void limitCpuSoon(context, run);
}

/**
 * Bounds the VM's process once the program has begun to run. The guest bounds the program itself, from its first output
 * on; under emulation a quarter of a CPU is used up by the first steps of both, and the start would wait for it.
 */
async function limitCpuSoon({ logger, options }: PodContext, { instance, signal }: VmRun): Promise<void> {
  try {
    await options.clock.sleep(startBurstMs, signal);
    await instance.machine.limitCpu();
  } catch (error) {
    // Of a VM that ended meanwhile, or is let go of: whoever takes it up sets it.
    if (!signal.aborted) logger.warn({ reason: describeError(error) }, "the CPU limit of the VM could not be set");
  }
}

async function remove({ instance, signal }: VmRun, id: string): Promise<void> {
  try {
    await instance.removeContainer(id, signal);
  } catch (error) {
    if (!(error instanceof GuestError) || error.code !== "NotFound") throw error;
  }
}

async function freshSources(context: PodContext, run: VmRun): Promise<PodSources> {
  const references = await fetchReferences(context.options.client, context.pod, run.signal);
  return { ...run.resources.sources, ...references };
}

/** Copies the output of the attempt that runs, and notes how it ends. `isResumed` if another node agent began it. */
export async function followContainer(
  context: PodContext,
  slot: ContainerSlot,
  instance: Instance,
  isResumed: boolean,
): Promise<void> {
  const attempt = slot.current;
  if (attempt === undefined) return;
  const { clock, lastHeartbeatMicros = 0 } = context.options;
  slot.log ??= await openLog(context, slot);
  const { log } = slot;
  const copying = copyOutput(context, slot, attempt, instance);
  const exit = await instance.wait(attempt.id, context.detach.signal);
  const seenMicros = context.nowMicros;
  // The last words come before the end is told.
  const timer = new AbortController();
  const isSlow = clock.sleep(lastOutputMs, AbortSignal.any([timer.signal, instance.ended])).catch(() => {});
  await Promise.race([copying, isSlow]);
  timer.abort();
  await log.close();
  let message = exit.terminationMessage;
  if (message === "" && exit.exitCode !== 0 && slot.container.terminationMessagePolicy === "FallbackToLogsOnError") {
    message = await log.readTail(80, 2048);
  }
  // Heard at once, or it ended while no node agent watched: no earlier than the last one was seen alive.
  const earliest = isResumed ? lastHeartbeatMicros : seenMicros - clockSlackMicros;
  const { startedMicros } = attempt;
  const finishedMicros = clamp(exit.finishedMicros, Math.max(startedMicros, earliest), seenMicros);
  slot.end({ ...reasonOf(exit), message, startedMicros, finishedMicros });
  context.noted().saveSoon();
  context.publish();
}

function reasonOf(exit: ExitStatus): Pick<Exit, "exitCode" | "signal" | "reason"> {
  return {
    exitCode: exit.isOomKilled ? 137 : exit.exitCode,
    signal: exit.signal,
    reason: exit.isOomKilled ? "OOMKilled" : exit.exitCode === 0 ? "Completed" : "Error",
  };
}

/** Goes on after trouble on the host's side (a full disk): the guest keeps what was not taken. */
async function copyOutput(
  context: PodContext,
  slot: ContainerSlot,
  attempt: ContainerAttempt,
  instance: Instance,
): Promise<void> {
  const { clock } = context.options;
  const { log } = slot;
  if (log === undefined) return;
  for (let failures = 0; ; failures++) {
    try {
      return await instance.copyOutput(attempt.id, log, context.detach.signal);
    } catch (error) {
      // With its VM gone the rest of the output is, too; who ended the VM has told.
      if (context.detach.signal.aborted || instance.ended.aborted || error instanceof GuestError) return;
      if (failures === 0) {
        const fields = { container: slot.container.name, reason: describeError(error) };
        context.logger.warn(fields, "output could not be written to the log; trying again");
      }
      const until = AbortSignal.any([context.detach.signal, instance.ended]);
      await clock.sleep(backoffDelayMs(failures, { initialMs: 200, maxMs: 5000 }), until).catch(() => {});
    }
  }
}

/** A time the guest tells, within what the host knows to be possible. */
function clamp(micros: number, earliest: number, latest: number): number {
  return Math.min(Math.max(micros, earliest), latest);
}

/** How a container ends that could not be started at all; undefined for failures that are not its own. */
function startRefusal(
  error: unknown,
): { readonly exitCode: number; readonly reason: string; readonly message: string } | undefined {
  const reason = "ContainerCannotRun";
  if (error instanceof GuestError) {
    if (error.code === "CommandNotFound") return { exitCode: 127, reason, message: error.message };
    if (error.code === "CommandNotExecutable") return { exitCode: 126, reason, message: error.message };
    if (error.code === "UserNotFound" || error.code === "MountFailed" || error.code === "NoSpace") {
      return { exitCode: 128, reason, message: error.message };
    }
  }
  if (error instanceof NodeError && (error.code === "NoCommand" || error.code === "RunAsNonRoot")) {
    return { exitCode: 128, reason, message: `${error.message}. ${error.remedy ?? ""}`.trim() };
  }
  return undefined;
}
