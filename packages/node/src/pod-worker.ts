import { isConflict, isNotFound, type Pod, resources } from "@isopod/api";
import { backoffDelayMs, describeError, IsopodError, retry } from "@isopod/base";
import type { AttachStream, ExecSpec } from "@isopod/guest";
import { acquireResources, type Resources } from "./acquire-resources.ts";
import { bootInstance, findInstance } from "./boot-instance.ts";
import { openCloneSource } from "./clone-source.ts";
import { containerEnvironment, withImageVariables } from "./container-environment.ts";
import { ContainerLog } from "./container-log.ts";
import { followContainer, logDirectoryOf } from "./container-runner.ts";
import type { ContainerSlot } from "./container-slot.ts";
import type { Instance } from "./instance.ts";
import type { InstanceRecord } from "./instance-record.ts";
import type { ServedPod } from "./kubelet-server.ts";
import { lastWords } from "./last-words.ts";
import { NodeError } from "./node-error.ts";
import { PodContext, type PodWorkerOptions } from "./pod-context.ts";
import { runContainers } from "./pod-containers.ts";
import { fetchReferences } from "./pod-inputs.ts";
import { PodStop } from "./pod-stop.ts";
import { dropInstance, lastProvenMicros, releaseInstance } from "./release-instance.ts";
import { type SavedInstance, saveInstance } from "./save-instance.ts";

/** A try that fails is repeated after 1 s doubling to 5 min; a reference that is missing is looked for more often. */
const tryBackoff = { initialMs: 1000, maxMs: 300_000 } as const;
const configBackoff = { initialMs: 1000, maxMs: 10_000 } as const;
/** As containers: the first new VM at once, the next after 10 s doubling to 5 min, forgotten after 10 min. */
const lossBackoff = { initialMs: 10_000, maxMs: 300_000 } as const;
const lossResetMicros = 600_000_000;

/**
 * The whole life of one pod on this node, told as one sequence in {@link run}: acquire, boot, init containers, app
 * containers, release, delete. A newer pod object, the end of the VM, and the node agent's own stop come in from the
 * side and abort what they make pointless.
 *
 * Everything that must outlive the node agent is in the record, saved before it is relied on.
 */
export class PodWorker implements ServedPod {
  readonly #context: PodContext;
  readonly #stop: PodStop;
  #changed = Promise.withResolvers<void>();

  constructor(pod: Pod, record: InstanceRecord | undefined, options: PodWorkerOptions) {
    this.#context = new PodContext(pod, record, options);
    this.#stop = new PodStop(this.#context);
  }

  get pod(): Pod {
    return this.#context.pod;
  }

  /** The API no longer has the pod. */
  get isGone(): boolean {
    return this.#context.gone.signal.aborted;
  }

  /** Takes a newer pod object; `undefined` when it is gone from the API. */
  update(pod: Pod | undefined): void {
    if (pod === undefined) {
      this.#context.gone.abort(new Error("the pod is gone"));
      this.#stop.begin(0);
    } else {
      this.#context.pod = pod;
      const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
      if (deletionTimestamp !== undefined) this.#stop.begin(deletionGracePeriodSeconds ?? 0);
      else this.#context.pause.check();
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Lets go of the pod: its VM runs on, for the next node agent to find. {@link run} then resolves. */
  detach(): void {
    this.#context.detach.abort(new Error("the node agent stops"));
    this.#changed.resolve();
  }

  /** Resolves once the pod is gone from the API and nothing of it is left on the node, or after {@link detach}. */
  async run(): Promise<void> {
    const context = this.#context;
    const { detach, record } = context;
    // Takes notice of a deletion that began before.
    this.update(this.pod);
    const { phase } = this.pod.status ?? {};
    const wasOver = phase === "Succeeded" || phase === "Failed";
    context.isOver = wasOver;
    try {
      if (!record.value.isReleased && !wasOver) await this.#live();
      await releaseInstance(context, () => this.#endCause());
      this.#stop.done();
      context.isOver = true;
      // A pod that was over before this process began keeps the status it has.
      if (!wasOver) context.publish();
      await context.flushStatus();
      while (!this.isGone) {
        detach.signal.throwIfAborted();
        if (this.pod.metadata.deletionTimestamp !== undefined) await this.#confirmDeletion();
        if (!this.isGone) await this.#changed.promise;
      }
      await record.close();
      await context.options.records.remove(context.podUID);
    } catch (error) {
      const wasDetached = detach.signal.aborted;
      this.detach();
      await record.close();
      await context.instance?.detach();
      for (const slot of context.slots) await slot.log?.close();
      if (!wasDetached) throw error;
    }
  }

  /** The log of a container's current attempt, or the one before. */
  async log(containerName: string, isPrevious: boolean): Promise<ContainerLog> {
    const slot = this.#slot(containerName);
    const { name } = this.pod.metadata;
    const attempt = isPrevious ? slot.previous : slot.current;
    if (attempt === undefined) {
      throw new NodeError(
        isPrevious
          ? `previous terminated container "${containerName}" in pod "${name}" not found`
          : `container "${containerName}" in pod "${name}" is waiting to start: ${slot.waiting?.reason ?? "PodInitializing"}`,
        { code: "CreateContainerConfigError", object: containerName },
      );
    }
    if (!isPrevious && slot.log !== undefined) return slot.log;
    const number = slot.restartCount - (isPrevious ? 1 : 0);
    return await ContainerLog.openFinished(logDirectoryOf(this.#context, slot), number);
  }

  async exec(containerName: string, spec: ExecSpec): Promise<AttachStream> {
    const { id, instance } = this.#running(containerName);
    return await instance.exec(id, spec, this.#context.detach.signal);
  }

  async attach(containerName: string): Promise<AttachStream> {
    const { id, instance } = this.#running(containerName);
    // Whoever starts a container to talk to it (`run -it`) must not miss its first prompt.
    const from = this.#slot(containerName).container.stdinOnce === true ? 0 : undefined;
    return await instance.attach(id, from, this.#context.detach.signal);
  }

  get imageDigests(): readonly string[] {
    return [...new Set(this.#context.slots.map((slot) => slot.imageDigest))].filter((digest) => digest !== "");
  }

  /** Saves the instance into a new directory; it runs on. */
  async save(directory: string, signal: AbortSignal): Promise<SavedInstance> {
    return await saveInstance(this.#context, directory, AbortSignal.any([signal, this.#context.detach.signal]));
  }

  async execEnvironment(containerName: string): Promise<readonly string[]> {
    const slot = this.#slot(containerName);
    const { options, podIP, size, signal } = this.#context;
    const image = await options.images.get(slot.imageDigest);
    const references = await fetchReferences(options.client, this.pod, signal);
    const sources = { ...references, podIP, hostIP: options.hostIP, size };
    const own = containerEnvironment(this.pod, slot.container, sources);
    const variables = withImageVariables(image?.config.env ?? [], own);
    return [...variables].map(([name, value]) => `${name}=${value}`);
  }

  #slot(containerName: string): ContainerSlot {
    const slot = this.#context.slots.find((one) => one.container.name === containerName);
    if (slot !== undefined) return slot;
    throw new NodeError(`container ${containerName} is not valid for pod ${this.pod.metadata.name}`, {
      code: "CreateContainerConfigError",
      object: containerName,
    });
  }

  #running(containerName: string): { readonly id: string; readonly instance: Instance } {
    const slot = this.#slot(containerName);
    const { instance, pause } = this.#context;
    if (instance?.isPaused === true || pause.isPaused) {
      const { name } = this.pod.metadata;
      throw new NodeError(`instance ${name} is paused: nothing can be run in it`, {
        code: "Paused",
        object: name,
        remedy: `\`isopod resume ${name}\` lets it go on.`,
      });
    }
    if (instance !== undefined && slot.current !== undefined && slot.isRunning)
      return { id: slot.current.id, instance };
    throw new NodeError(`container not found ("${containerName}"): it is not running`, {
      code: "CreateContainerConfigError",
      object: containerName,
      remedy: "See `kubectl get pod` for its state.",
    });
  }

  /** Makes instances until the pod is done, is to stop, or may not have another. */
  async #live(): Promise<void> {
    const context = this.#context;
    this.#stop.armDeadline();
    context.usage.writeOn();
    context.publish();
    for (let failures = 0, losses = 0; ; ) {
      let isMade = false;
      try {
        const isFound = (await findInstance(context)) !== undefined;
        if (!isFound && context.slots.some((slot) => slot.isRunning)) {
          this.#noteLoss("the virtual machine was gone when the node agent came back", lastProvenMicros(context));
        }
        if (!context.mayRestart) return await this.#windDown();
        const { instance, made } = await this.#make(isFound, () => {
          isMade = true;
        });
        const bootedMicros = context.nowMicros;
        const outcome = await runContainers(context, instance, made);
        if (outcome !== "lost") return;
        failures = 0;
        const words = instance.exit === undefined ? "it does not answer" : lastWords(instance.exit);
        this.#noteLoss(`the virtual machine ended: ${words}`, endOf(context, instance));
        await dropInstance(context);
        if (!context.mayRestart) return;
        losses = context.nowMicros - bootedMicros > lossResetMicros ? 0 : losses;
        await this.#backOffAfterLoss(losses++);
      } catch (error) {
        context.detach.signal.throwIfAborted();
        if (context.stop.signal.aborted) return await this.#windDown();
        if (error instanceof NodeError && error.code === "CloneRefused") return this.#giveUp(error);
        await this.#noteFailure(error, failures++, isMade);
      }
      context.detach.signal.throwIfAborted();
    }
  }

  async #make(
    isFound: boolean,
    onAcquired: () => void,
  ): Promise<{ readonly instance: Instance; readonly made: Resources }> {
    const context = this.#context;
    const source = isFound ? undefined : await openCloneSource(context);
    try {
      const made = await acquireResources(context, !isFound, source);
      onAcquired();
      return { made, instance: await bootInstance(context, made) };
    } finally {
      await source?.template.unload();
    }
  }

  /** It can never be what it says it is. */
  #giveUp({ message, code, remedy }: NodeError): void {
    const context = this.#context;
    context.failure = { reason: code, message: `${message}. ${remedy ?? ""}`.trim() };
    context.options.events.warning(context.pod, code, context.failure.message);
  }

  /** The pod was to stop when its VM was found again: what runs in it has its grace all the same. */
  async #windDown(): Promise<void> {
    const context = this.#context;
    const { instance, detach, slots } = context;
    const running = slots.filter((slot) => slot.isRunning);
    if (instance === undefined || running.length === 0 || this.#stop.isGraceOver) return;
    try {
      this.#context.pause.check();
      await instance.connect(detach.signal);
      const known = new Set((await instance.containers(detach.signal)).map((one) => one.id));
      await this.#stop.signalContainers();
      const left = running.filter((slot) => known.has(slot.current?.id ?? ""));
      await Promise.all(left.map(async (slot) => await followContainer(context, slot, instance, true)));
    } catch (error) {
      detach.signal.throwIfAborted();
      // Its grace is over, or the VM ended by itself: either way it is released now.
      context.logger.debug({ reason: describeError(error) }, "the instance ended while it was stopped");
    }
  }

  /**
   * The instance could not be made, or could not be governed: says why, and waits before the next try. A VM that runs is
   * left alone unless it is itself at fault: a node agent that came back must not end what it could not yet take up.
   */
  async #noteFailure(cause: unknown, failures: number, isVmAtFault: boolean): Promise<void> {
    const context = this.#context;
    const { events, clock } = context.options;
    const isOurs = cause instanceof IsopodError;
    const stage = isOurs && cause.stage !== undefined ? `${cause.stage}: ` : "";
    const remedy = isOurs && cause.remedy !== undefined ? `. ${cause.remedy}` : "";
    const message = `${stage}${describeError(cause)}${remedy}`;
    const isConfig = cause instanceof NodeError && cause.code === "CreateContainerConfigError";
    context.logger.warn({ reason: message }, "the instance could not be made; trying again");
    events.warning(context.pod, isConfig ? "Failed" : "FailedCreatePodSandBox", message);
    for (const slot of context.slots) {
      if (slot.current === undefined) slot.wait(isConfig ? "CreateContainerConfigError" : "ContainerCreating", message);
    }
    if (isVmAtFault) {
      try {
        await dropInstance(context);
      } catch (error) {
        context.logger.warn({ reason: describeError(error) }, "the virtual machine could not be removed; trying again");
      }
      // It may be gone when something of it could not be removed.
      const isGone = context.instance === undefined;
      if (isGone && context.slots.some((slot) => slot.isRunning)) this.#noteLoss(message, context.nowMicros);
    }
    context.publish();
    const delayMs = backoffDelayMs(failures, isConfig ? configBackoff : tryBackoff);
    await clock.sleep(delayMs, context.signal).catch(() => {});
  }

  /** Everything that ran ended with its VM, at `endMicros`; the restart policy says whether there is to be another. */
  #noteLoss(message: string, endMicros: number): void {
    const context = this.#context;
    const isFinal = (context.pod.spec.restartPolicy ?? "Always") === "Never";
    context.isSandboxReady = false;
    context.logger.warn({ reason: message }, "the virtual machine is lost");
    context.options.events.warning(context.pod, "VMLost", message);
    for (const slot of context.slots) {
      if (!slot.isRunning || slot.current === undefined) continue;
      const { startedMicros } = slot.current;
      const finishedMicros = Math.max(startedMicros, endMicros);
      slot.end({ exitCode: 255, signal: 0, reason: "VMLost", message, startedMicros, finishedMicros });
      if (!isFinal) slot.wait("ContainerCreating", "a new virtual machine is made");
    }
    context.usage.close(endMicros, "VMLost");
    if (isFinal) context.failure = { reason: "VMLost", message };
    context.noted().saveSoon();
    context.publish();
  }

  async #backOffAfterLoss(losses: number): Promise<void> {
    const context = this.#context;
    if (losses === 0) return;
    const delayMs = backoffDelayMs(losses - 1, lossBackoff);
    for (const slot of context.slots) {
      if (slot.waiting !== undefined) {
        slot.wait("CrashLoopBackOff", `back-off ${delayMs / 1000}s making a new virtual machine`);
      }
    }
    context.publish();
    await context.options.clock.sleep(delayMs, context.signal).catch(() => {});
  }

  #endCause(): string {
    if (this.#context.failure !== undefined) return this.#context.failure.reason;
    if (this.pod.metadata.deletionTimestamp !== undefined || this.isGone) return "Deleted";
    return "Completed";
  }

  /** Tells the API server that nothing runs any more: only the node agent may take the last step. */
  async #confirmDeletion(): Promise<void> {
    const { options, podUID, detach, gone } = this.#context;
    const { namespace, name } = this.pod.metadata;
    const signal = AbortSignal.any([detach.signal, gone.signal]);
    const confirm = async (): Promise<void> => {
      try {
        const body = { gracePeriodSeconds: 0, preconditions: { uid: podUID } };
        await options.client.delete(resources.pods, namespace, name, { signal, body });
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) gone.abort(new Error("the pod is gone"));
        else throw error;
      }
    };
    try {
      await retry(confirm, { clock: options.clock, signal, initialMs: 100, maxMs: 10_000 });
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
  }
}

/** When a lost VM ended: now, if it was heard of in this life of the node agent; else when the last one saw it. */
function endOf(context: PodContext, instance: Instance): number {
  return instance.isHeard ? context.nowMicros : lastProvenMicros(context);
}
