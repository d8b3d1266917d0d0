import { rm } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Container,
  type InstanceSize,
  isConflict,
  isNotFound,
  largestSize,
  type NetworkInterface,
  type Pod,
  type PodStatus,
  podSize,
  resources,
  type VPC,
  vcpusFor,
} from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, IsopodError, isAbort, type Logger, retry } from "@isopod/base";
import type { EventRecorder, KubeClient } from "@isopod/client";
import { type AttachStream, type ExecSpec, GuestError } from "@isopod/guest";
import type { Image, ImageStore } from "@isopod/image";
import type { AttachedInterface, HostNetwork } from "@isopod/network";
import type { MachineDisk, Vmm } from "@isopod/vmm";
import type { ScratchDisks } from "@isopod/volume";
import { containerEnvironment, type PodSources } from "./container-environment.ts";
import { ContainerLog, pruneAttempts } from "./container-log.ts";
import { containerPlan, guestVolumes, hostnameOf } from "./container-plan.ts";
import { ensureImage } from "./image-pulls.ts";
import { Instance, machineDirectory } from "./instance.ts";
import type {
  ContainerAttempt,
  ContainerRecord,
  InstanceRecord,
  InstanceRecords,
  SegmentRecord,
  UserIds,
} from "./instance-record.ts";
import { NodeError } from "./node-error.ts";
import { type DnsDefaults, hostsFile, resolvConf } from "./pod-files.ts";
import { fetchSources } from "./pod-inputs.ts";
import { type ContainerView, podStatus } from "./pod-status.ts";
import type { UsageRecorder } from "./usage-recorder.ts";

export interface PodWorkerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventRecorder;
  readonly usage: UsageRecorder;
  readonly hostIP: string;
  readonly vmm: Vmm;
  readonly images: ImageStore;
  readonly network: HostNetwork;
  readonly scratch: ScratchDisks;
  readonly records: InstanceRecords;
  readonly userIds: UserIds;
  readonly dns: DnsDefaults;
  /** Resolves with the pod's interface once the ENI controller has made it. */
  readonly interfaceOf: (podUID: string, signal: AbortSignal) => Promise<NetworkInterface>;
  readonly vpc: (name: string, signal: AbortSignal) => Promise<VPC>;
  readonly bootTimeoutMs: number;
}

/** Size of the root disk when the pod limits no ephemeral storage. */
const defaultScratchBytes = 10 * 1024 * 1024 * 1024;

/** As kubelet: 10 s doubling to 5 min, forgotten after 10 min of running. */
const crashBackoff = { initialMs: 10_000, maxMs: 300_000 } as const;
const crashResetMicros = 600_000_000;

/** Memory of the guest's kernel and agent beside the size sold: a floor, and page tables by size. */
function guestMemoryMiB(size: InstanceSize): number {
  return size.memoryMiB + 40 + Math.ceil(size.memoryMiB / 32);
}

/** What the VM process may use: guest memory, and room for the monitor and its translation cache. */
function machineMemoryMiB(size: InstanceSize): number {
  return guestMemoryMiB(size) + 256;
}

/** Disk serial of an image in its VM: at most 20 characters. */
function imageSerial(digest: string): string {
  return `i-${digest.slice(7, 23)}`;
}

class Slot {
  readonly container: Container;
  readonly index: number;
  readonly isInit: boolean;
  restartCount = 0;
  imageDigest = "";
  waiting: ContainerView["waiting"] = { reason: "ContainerCreating" };
  current: ContainerAttempt | undefined;
  previous: ContainerAttempt | undefined;
  log: ContainerLog | undefined;
  /** Consecutive quick failures: what the back-off grows with. */
  crashes = 0;

  constructor(container: Container, index: number, isInit: boolean) {
    this.container = container;
    this.index = index;
    this.isInit = isInit;
  }

  get isSidecar(): boolean {
    return this.isInit && this.container.restartPolicy === "Always";
  }

  get isRunning(): boolean {
    return this.current !== undefined && this.current.exit === undefined;
  }

  get record(): ContainerRecord {
    return {
      name: this.container.name,
      restartCount: this.restartCount,
      imageDigest: this.imageDigest,
      ...(this.current === undefined ? {} : { current: this.current }),
      ...(this.previous === undefined ? {} : { previous: this.previous }),
    };
  }

  restore(record: ContainerRecord): void {
    this.restartCount = record.restartCount;
    this.imageDigest = record.imageDigest;
    this.current = record.current;
    this.previous = record.previous;
  }
}

interface Holdings {
  readonly images: ReadonlyMap<string, Image>;
  readonly eni: NetworkInterface;
  readonly vpc: VPC;
  readonly attached: AttachedInterface;
  readonly disks: readonly MachineDisk[];
}

type Outcome =
  | { readonly type: "done" }
  | { readonly type: "lost"; readonly message: string }
  | { readonly type: "stopped" };

/**
 * The whole life of one pod on this node, told as one sequence in {@link run}: acquire, boot, init containers, app
 * containers, release, delete. A newer pod object, the end of the VM, and the node agent's own stop come in from the
 * side and abort what they make pointless.
 *
 * Everything that must outlive the node agent is in the {@link InstanceRecord}, saved before it is relied on.
 */
export class PodWorker {
  readonly podUID: string;
  readonly #options: PodWorkerOptions;
  readonly #logger: Logger;
  readonly #size: InstanceSize;
  readonly #slots: readonly Slot[];
  readonly #startTimeMs: number;
  /** Aborts when the pod is to stop: deletion, deadline. */
  readonly #stop = new AbortController();
  /** Aborts when the node agent lets go of the pod. */
  readonly #detach = new AbortController();
  #pod: Pod;
  #isGone = false;
  #record: InstanceRecord;
  #instance: Instance | undefined;
  #podIP = "";
  #isSandboxReady = false;
  #failure: { readonly reason: string; readonly message: string } | undefined;
  #isOver = false;
  #killTimer: AbortController | undefined;
  #graceEndsMs = Number.POSITIVE_INFINITY;
  #isStatusDirty = false;
  #publishing: Promise<void> | undefined;
  #published: string | undefined;
  #saving: Promise<void> = Promise.resolve();
  #stages: Record<string, number>;
  #changed = Promise.withResolvers<void>();

  constructor(pod: Pod, record: InstanceRecord | undefined, options: PodWorkerOptions) {
    this.#pod = pod;
    this.#options = options;
    this.podUID = pod.metadata.uid ?? "";
    this.#logger = options.logger.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}` });
    // Admission refuses what is beyond the largest size.
    this.#size = podSize(pod) ?? largestSize;
    const inits = (pod.spec.initContainers ?? []).map((one, index) => new Slot(one, index, true));
    const apps = pod.spec.containers.map((one, index) => new Slot(one, inits.length + index, false));
    this.#slots = [...inits, ...apps];
    for (const slot of this.#slots) {
      if (inits.length > 0 && !slot.isInit) slot.waiting = { reason: "PodInitializing" };
    }
    this.#record = record ?? {
      version: 1,
      podUID: this.podUID,
      namespace: pod.metadata.namespace ?? "default",
      name: pod.metadata.name,
      userId: 0,
      vmCount: 0,
      containers: [],
      segments: [],
      stages: {},
      isReleased: false,
    };
    for (const saved of this.#record.containers) {
      const slot = this.#slots.find((one) => one.container.name === saved.name);
      slot?.restore(saved);
      if (slot?.current !== undefined) slot.waiting = undefined;
    }
    this.#startTimeMs = pod.status?.startTime === undefined ? options.clock.nowMs() : Date.parse(pod.status.startTime);
    this.#stages = { seen: Number(options.clock.nowMicros()), ...this.#record.stages };
    this.#podIP = pod.status?.podIP ?? "";
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Takes a newer pod object; `undefined` when it is gone from the API. */
  update(pod: Pod | undefined): void {
    if (pod === undefined) {
      this.#isGone = true;
      this.#beginStop(0);
    } else {
      this.#pod = pod;
      const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
      if (deletionTimestamp !== undefined) this.#beginStop(deletionGracePeriodSeconds ?? 0);
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Lets go of the pod: its VM runs on, for the next node agent to find. {@link run} then resolves. */
  detach(): void {
    this.#detach.abort(new Error("the node agent stops"));
    this.#changed.resolve();
  }

  /** Resolves once the pod is gone from the API and nothing of it is left on the node, or after {@link detach}. */
  async run(): Promise<void> {
    const { records } = this.#options;
    if (this.#pod.metadata.deletionTimestamp !== undefined) {
      this.#beginStop(this.#pod.metadata.deletionGracePeriodSeconds ?? 0);
    }
    try {
      const { phase } = this.#pod.status ?? {};
      if (!this.#record.isReleased && phase !== "Succeeded" && phase !== "Failed") await this.#live();
      await this.#release();
      this.#isOver = true;
      // A pod that was over before this process began keeps the status it has.
      if (phase !== "Succeeded" && phase !== "Failed") this.#publish();
      await this.#flushStatus();
      while (!this.#isGone) {
        this.#detach.signal.throwIfAborted();
        if (this.#pod.metadata.deletionTimestamp !== undefined) await this.#confirmDeletion();
        if (!this.#isGone) await this.#changed.promise;
      }
      await records.remove(this.podUID);
    } catch (error) {
      if (!this.#detach.signal.aborted) throw error;
      await this.#saving;
      await this.#instance?.detach();
      for (const slot of this.#slots) await slot.log?.close();
    }
  }

  /** The log of a container's current attempt, or the one before. Throws {@link GuestError}-free plain reasons. */
  async log(containerName: string, isPrevious: boolean): Promise<ContainerLog> {
    const slot = this.#slot(containerName);
    const attempt = isPrevious ? slot.previous : slot.current;
    if (attempt === undefined) {
      const waiting = slot.waiting?.reason ?? "PodInitializing";
      throw new NodeError(
        isPrevious
          ? `previous terminated container "${containerName}" in pod "${this.#pod.metadata.name}" not found`
          : `container "${containerName}" in pod "${this.#pod.metadata.name}" is waiting to start: ${waiting}`,
        { code: "CreateContainerConfigError", object: containerName },
      );
    }
    if (!isPrevious && slot.log !== undefined) return slot.log;
    return await ContainerLog.openFinished(this.#logDirectory(slot), slot.restartCount - (isPrevious ? 1 : 0));
  }

  /** Runs a command in a running container. */
  async exec(containerName: string, spec: ExecSpec): Promise<AttachStream> {
    const { id, instance } = this.#running(containerName);
    return await instance.exec(id, spec, this.#detach.signal);
  }

  async attach(containerName: string): Promise<AttachStream> {
    const { id, instance } = this.#running(containerName);
    // Whoever starts a container to talk to it (`run -it`) must not miss its first prompt.
    const from = this.#slot(containerName).container.stdinOnce === true ? 0 : undefined;
    return await instance.attach(id, from, this.#detach.signal);
  }

  #slot(containerName: string): Slot {
    const slot = this.#slots.find((one) => one.container.name === containerName);
    if (slot !== undefined) return slot;
    throw new NodeError(`container ${containerName} is not valid for pod ${this.#pod.metadata.name}`, {
      code: "CreateContainerConfigError",
      object: containerName,
    });
  }

  #running(containerName: string): { readonly id: string; readonly instance: Instance } {
    const slot = this.#slot(containerName);
    if (this.#instance === undefined || slot.current === undefined || slot.current.exit !== undefined) {
      throw new NodeError(`container not found ("${containerName}"): it is not running`, {
        code: "CreateContainerConfigError",
        object: containerName,
        remedy: "See `kubectl get pod` for its state.",
      });
    }
    return { id: slot.current.id, instance: this.#instance };
  }

  /** Signal of everything that a stop or a detach makes pointless. */
  get #signal(): AbortSignal {
    return AbortSignal.any([this.#stop.signal, this.#detach.signal]);
  }

  get #mayRestart(): boolean {
    return !this.#stop.signal.aborted && this.#failure === undefined;
  }

  // ── the life of the instance ─────────────────────────────────────────────────────────────────────────────────────

  async #live(): Promise<void> {
    const { events } = this.#options;
    this.#armDeadline();
    this.#publish();
    for (let failures = 0; ; ) {
      try {
        const holdings = await this.#acquire();
        const instance = await this.#bootOrFind(holdings);
        failures = 0;
        const outcome = await this.#runContainers(instance, holdings);
        if (outcome.type !== "lost") return;
        await this.#afterLoss(outcome.message);
        if (!this.#mayRestart || this.#failure !== undefined) return;
      } catch (error) {
        if (this.#detach.signal.aborted) throw error;
        if (this.#stop.signal.aborted) return;
        const isOurs = error instanceof IsopodError;
        const remedy = isOurs && error.remedy !== undefined ? ` ${error.remedy}` : "";
        const message = `${isOurs && error.stage !== undefined ? `${error.stage}: ` : ""}${describeError(error)}${remedy}`;
        const isConfig = error instanceof NodeError && error.code === "CreateContainerConfigError";
        const reason = isConfig ? "CreateContainerConfigError" : "ContainerCreating";
        this.#logger.warn({ reason: message }, "the instance could not be made; trying again");
        events.warning(this.#pod, isConfig ? "Failed" : "FailedCreatePodSandBox", message);
        for (const slot of this.#slots) {
          if (slot.current === undefined) slot.waiting = { reason, message };
        }
        await this.#dropInstance();
        this.#publish();
        const delay = backoffDelayMs(failures++, { initialMs: 1000, maxMs: isConfig ? 10_000 : 300_000 });
        await this.#options.clock.sleep(delay, this.#signal).catch(() => {});
        this.#detach.signal.throwIfAborted();
        if (this.#stop.signal.aborted) return;
      }
    }
  }

  /** Everything an instance is made of, gathered in parallel; each piece is idempotent. */
  async #acquire(): Promise<Holdings> {
    const { images, network, scratch, interfaceOf, vpc: findVpc, userIds, records } = this.#options;
    const signal = this.#signal;
    if (this.#record.userId === 0) {
      const userId = userIds.allocate();
      if (userId === undefined) {
        throw new NodeError("every host user id for instances is taken", {
          code: "NoUserId",
          stage: "boot",
          object: this.#pod.metadata.name,
          remedy: "Remove finished pods, or run fewer instances on this node.",
        });
      }
      this.#record = { ...this.#record, userId };
      await this.#save();
    }
    const { userId } = this.#record;
    const directory = records.directoryOf(this.podUID);
    const scratchPath = join(directory, "scratch.qcow2");

    const pulled = new Map<string, Image>();
    const pulls = async (): Promise<void> => {
      const byReference = new Map<string, Promise<Image>>();
      await Promise.all(
        this.#slots.map(async (slot) => {
          const reference = slot.container.image ?? "";
          // A container that ran before keeps the image it ran with.
          const known = slot.imageDigest === "" ? undefined : await images.get(slot.imageDigest);
          const pull =
            known !== undefined
              ? Promise.resolve(known)
              : (byReference.get(reference) ??
                ensureImage(
                  this.#pod,
                  slot.container,
                  this.#options,
                  (waiting) => {
                    for (const other of this.#slots) {
                      if (other.container.image === reference && other.current === undefined) {
                        other.waiting = waiting ?? { reason: "ContainerCreating" };
                      }
                    }
                    this.#publish();
                  },
                  signal,
                ));
          byReference.set(reference, pull);
          const image = await pull;
          slot.imageDigest = image.digest;
          await images.hold(image.digest, this.podUID);
          pulled.set(image.digest, image);
        }),
      );
      this.#stage("image");
    };
    const networking = async (): Promise<{ eni: NetworkInterface; vpc: VPC; attached: AttachedInterface }> => {
      const eni = await interfaceOf(this.podUID, signal);
      const vpc = await findVpc(eni.spec.vpc, signal);
      const attached = await network.attach(
        {
          id: this.podUID,
          vpc: {
            name: vpc.metadata.name,
            uid: vpc.metadata.uid ?? "",
            cidr: vpc.spec.cidr,
            hasNat: vpc.spec.nat === true,
          },
          address: eni.spec.address,
          macAddress: eni.spec.macAddress,
          userId,
        },
        signal,
      );
      this.#podIP = eni.spec.address;
      this.#stage("network");
      return { eni, vpc, attached };
    };
    const scratchDisk = async (): Promise<MachineDisk> => {
      if (this.#record.vmCount > 0 && this.#instance !== undefined) await rm(scratchPath, { force: true });
      const disk = await scratch.create(scratchPath, this.#scratchBytes(), userId, signal);
      this.#stage("disk");
      return { type: "qcow2", serial: "scratch", path: disk.path, backingPath: disk.backingPath };
    };
    const isFresh = !(await this.#findInstance());
    const [, net, scratchMachineDisk] = await Promise.all([
      pulls(),
      networking(),
      isFresh ? rm(scratchPath, { force: true }).then(scratchDisk) : undefined,
    ]);
    const imageDisks = [...pulled.values()].map(
      (image): MachineDisk => ({ type: "parts", serial: imageSerial(image.digest), parts: image.disk }),
    );
    const [first, ...others] = imageDisks;
    const disks = [first, scratchMachineDisk, ...others].filter((one) => one !== undefined);
    return { images: pulled, ...net, disks };
  }

  #scratchBytes(): number {
    return defaultScratchBytes;
  }

  /** Looks for the VM an earlier node agent left running. */
  async #findInstance(): Promise<boolean> {
    if (this.#instance !== undefined) return true;
    const { vmCount } = this.#record;
    if (vmCount === 0) return false;
    const directory = machineDirectory(this.#options.records.directoryOf(this.podUID), vmCount);
    this.#instance = await Instance.find(directory, this.#options);
    return this.#instance !== undefined;
  }

  async #bootOrFind(holdings: Holdings): Promise<Instance> {
    const { records, userIds: _userIds, ...rest } = this.#options;
    const signal = this.#signal;
    if (this.#instance !== undefined) {
      await this.#instance.connect(signal);
      if (!(await this.#instance.isConfigured(signal))) await this.#configure(this.#instance, holdings);
      this.#isSandboxReady = true;
      return this.#instance;
    }
    await this.#noteLossWhileAway();
    const vmCount = this.#record.vmCount + 1;
    this.#record = { ...this.#record, vmCount };
    await this.#save();
    const directory = machineDirectory(records.directoryOf(this.podUID), vmCount);
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const instance = await Instance.boot(
      {
        id: `${this.podUID}-${vmCount}`.slice(0, 63),
        directory,
        vcpus: vcpusFor(this.#size),
        memoryMiB: guestMemoryMiB(this.#size),
        limits: { cpuMilli: this.#size.cpuMilli, memoryMiB: machineMemoryMiB(this.#size), pids: 256 },
        userId: this.#record.userId,
        network: {
          namespacePath: holdings.attached.namespacePath,
          tapName: holdings.attached.tapName,
          macAddress: holdings.eni.spec.macAddress,
        },
        disks: holdings.disks,
      },
      rest,
      signal,
    );
    this.#instance = instance;
    this.#stage("launched");
    await Promise.race([
      instance.connect(signal),
      instance.lost.then((exit) => {
        throw new NodeError(`the virtual machine ended while it booted: ${exit.stderrTail || exit.consoleTail}`, {
          code: "Internal",
          stage: "boot",
          object: this.#pod.metadata.name,
          remedy: "The serial console and the monitor's errors are in the instance's directory.",
        });
      }),
    ]);
    this.#stage("booted");
    await this.#configure(instance, holdings);
    this.#isSandboxReady = true;
    return instance;
  }

  async #configure(instance: Instance, { eni, vpc, attached }: Holdings): Promise<void> {
    await instance.configure(
      {
        hostname: hostnameOf(this.#pod),
        entropy: randomBytes(64).toString("base64"),
        epochMicros: Number(this.#options.clock.nowMicros()),
        network: {
          macAddress: eni.spec.macAddress,
          address: eni.spec.address,
          gatewayAddress: attached.gatewayAddress,
          gatewayMacAddress: attached.gatewayMacAddress,
          mtu: attached.mtu,
        },
        resolvConf: resolvConf(this.#pod, this.#options.dns, vpc.spec.nat === true),
        hosts: hostsFile(this.#pod, eni.spec.address),
        scratch: { diskSerial: "scratch" },
        limits: { memoryBytes: this.#size.memoryMiB * 1024 * 1024, cpuMilli: this.#size.cpuMilli },
      },
      this.#signal,
    );
    this.#stage("configured");
  }

  /** The VM died while no node agent watched: its containers ended then, as far as anyone can prove. */
  async #noteLossWhileAway(): Promise<void> {
    if (this.#record.vmCount === 0 || !this.#slots.some((slot) => slot.isRunning)) return;
    await this.#afterLoss("the virtual machine was gone when the node agent came back");
    if (!this.#mayRestart) throw new NodeError("the instance is over", { code: "Internal" });
  }

  async #afterLoss(message: string): Promise<void> {
    const { events, clock } = this.#options;
    const now = Number(clock.nowMicros());
    events.warning(this.#pod, "VMLost", message);
    this.#isSandboxReady = false;
    const policy = this.#pod.spec.restartPolicy ?? "Always";
    for (const slot of this.#slots) {
      if (!slot.isRunning) continue;
      await this.#noteExit(slot, {
        exitCode: 255,
        signal: 0,
        reason: "VMLost",
        message,
        startedMicros: slot.current?.startedMicros ?? now,
        finishedMicros: now,
      });
      if (policy !== "Never") slot.waiting = { reason: "ContainerCreating", message: "a new virtual machine is made" };
    }
    await this.#closeSegment(now, "VMLost");
    void this.#writeSegments().catch(() => {});
    await this.#dropInstance();
    if (policy === "Never") this.#failure = { reason: "VMLost", message };
    this.#publish();
  }

  async #runContainers(instance: Instance, holdings: Holdings): Promise<Outcome> {
    const lost = instance.lost.then((exit): Outcome => {
      if (this.#stop.signal.aborted) return { type: "stopped" };
      return {
        type: "lost",
        message: `the virtual machine ended: ${(exit.stderrTail || exit.consoleTail).slice(-1024)}`,
      };
    });
    // A stop in the middle of a start must still end the VM, so `run` goes on to release.
    const work = this.#containersInOrder(instance, holdings).catch(async (error: unknown): Promise<Outcome> => {
      if (this.#detach.signal.aborted) throw error;
      if (this.#stop.signal.aborted) return { type: "stopped" };
      // When the VM is gone every call fails; which came first does not matter.
      const isDead = await Promise.race([lost.then(() => true), this.#options.clock.sleep(200).then(() => false)]);
      if (isDead) return await lost;
      throw error;
    });
    return await Promise.race([work, lost]);
  }

  async #containersInOrder(instance: Instance, holdings: Holdings): Promise<Outcome> {
    const sources = await fetchSources(
      this.#options.client,
      this.#pod,
      { podIP: this.#podIP, hostIP: this.#options.hostIP, size: this.#size },
      this.#signal,
    );
    const volumes = guestVolumes(this.#pod, sources);
    if (volumes.length > 0) await instance.putVolumes(volumes, this.#signal);
    const known = new Map((await instance.containers(this.#detach.signal)).map((one) => [one.id, one]));
    const context = { instance, holdings, sources, known };
    const sidecars: Promise<void>[] = [];
    for (const slot of this.#slots.filter((one) => one.isInit)) {
      if (slot.current?.exit?.exitCode === 0 && !slot.isSidecar) continue;
      if (slot.isSidecar) {
        sidecars.push(this.#runSlot(slot, "Always", context));
        continue;
      }
      const policy = this.#pod.spec.restartPolicy === "Never" ? "Never" : "OnFailure";
      await this.#runSlot(slot, policy, context);
      if (slot.current?.exit?.exitCode !== 0) return { type: "done" };
    }
    const policy = this.#pod.spec.restartPolicy ?? "Always";
    const apps = this.#slots.filter((one) => !one.isInit);
    for (const slot of apps) {
      if (slot.current === undefined) slot.waiting = { reason: "ContainerCreating" };
    }
    await Promise.all(apps.map(async (slot) => await this.#runSlot(slot, policy, context)));
    return { type: "done" };
  }

  /** Runs one container until it has ended for good, with its restart policy. */
  async #runSlot(
    slot: Slot,
    policy: "Always" | "OnFailure" | "Never",
    context: {
      readonly instance: Instance;
      readonly holdings: Holdings;
      readonly sources: PodSources;
      readonly known: ReadonlyMap<string, unknown>;
    },
  ): Promise<void> {
    const { clock, events } = this.#options;
    const fieldPath = `spec.${slot.isInit ? "initContainers" : "containers"}{${slot.container.name}}`;
    for (;;) {
      const isResumed = slot.current !== undefined && slot.isRunning && context.known.has(slot.current.id);
      const isFinished = slot.current?.exit !== undefined && slot.waiting === undefined;
      if (!isResumed && !isFinished) {
        if (this.#stop.signal.aborted) return;
        await this.#start(slot, context, fieldPath);
      }
      if (slot.isRunning && slot.current !== undefined) await this.#follow(slot, slot.current, context.instance);
      const exit = slot.current?.exit;
      if (exit === undefined) return;
      const isAgain = policy === "Always" || (policy === "OnFailure" && exit.exitCode !== 0);
      if (!isAgain || !this.#mayRestart) return;
      const ranMicros = exit.finishedMicros - exit.startedMicros;
      slot.crashes = ranMicros > crashResetMicros ? 0 : slot.crashes;
      // As kubelet: the first restart is immediate, the back-off begins with the second.
      const delayMs = slot.crashes === 0 ? 0 : backoffDelayMs(slot.crashes - 1, crashBackoff);
      slot.crashes += 1;
      if (delayMs > 0) {
        const told = `back-off ${delayMs / 1000}s restarting failed container=${slot.container.name} pod=${this.#pod.metadata.name}_${this.#pod.metadata.namespace}`;
        slot.waiting = { reason: "CrashLoopBackOff", message: told };
        events.warning(this.#pod, "BackOff", `Back-off restarting failed container ${slot.container.name}`, fieldPath);
        this.#publish();
        await clock.sleep(delayMs, this.#signal).catch(() => {});
        this.#detach.signal.throwIfAborted();
        if (this.#stop.signal.aborted) {
          slot.waiting = undefined;
          return;
        }
      }
      slot.waiting = { reason: "ContainerCreating" };
    }
  }

  async #start(
    slot: Slot,
    {
      instance,
      holdings,
      sources,
    }: { readonly instance: Instance; readonly holdings: Holdings; readonly sources: PodSources },
    fieldPath: string,
  ): Promise<void> {
    const { events, clock } = this.#options;
    const image = holdings.images.get(slot.imageDigest);
    if (image === undefined) throw new NodeError(`image ${slot.imageDigest} is not held`, { code: "Internal" });
    if (slot.current !== undefined) {
      await instance.removeContainer(slot.current.id, this.#signal).catch((error: unknown) => {
        if (!(error instanceof GuestError) || error.code !== "NotFound") throw error;
      });
      slot.previous = slot.current;
      slot.restartCount += 1;
    }
    const id = `c${slot.index}-${slot.restartCount}`;
    const directory = this.#logDirectory(slot);
    await slot.log?.close();
    slot.log = await ContainerLog.open(directory, slot.restartCount);
    await pruneAttempts(directory, slot.restartCount);
    const before = Number(clock.nowMicros());
    try {
      const plan = containerPlan(
        this.#pod,
        slot.container,
        { config: image.config, diskSerial: imageSerial(image.digest) },
        sources,
        id,
      );
      slot.current = { id, startedMicros: before };
      // Before the start: an attempt nobody remembers would run a second time after a crash.
      await this.#save();
      const started = await instance.startContainer(plan, this.#signal);
      slot.current = { id, startedMicros: started.startedMicros };
      slot.waiting = undefined;
      for (const [stage, micros] of Object.entries(started.stageMicros)) this.#stages[`guest.${stage}`] ??= micros;
      this.#stage("started");
      await Promise.all([this.#openSegment(started.startedMicros), instance.machine.limitCpu()]);
      events.normal(this.#pod, "Started", `Started container ${slot.container.name}`, fieldPath);
      this.#publish();
    } catch (error) {
      const refusal = startRefusal(error);
      if (refusal === undefined) throw error;
      events.warning(this.#pod, "Failed", `Error: ${refusal.message}`, fieldPath);
      slot.current = { id, startedMicros: before };
      slot.waiting = undefined;
      const now = Number(clock.nowMicros());
      await this.#noteExit(slot, { ...refusal, signal: 0, startedMicros: before, finishedMicros: now });
    }
  }

  /** Copies the attempt's output and waits for its end. */
  async #follow(slot: Slot, attempt: ContainerAttempt, instance: Instance): Promise<void> {
    slot.log ??= await ContainerLog.open(this.#logDirectory(slot), slot.restartCount);
    const { log } = slot;
    const copying = instance.copyOutput(attempt.id, log, this.#detach.signal).catch((error: unknown) => {
      if (!this.#detach.signal.aborted) {
        this.#logger.warn(
          { container: slot.container.name, reason: describeError(error) },
          "output could not be copied",
        );
      }
    });
    const exit = await instance.wait(attempt.id, this.#detach.signal);
    // The last words come before the end is told.
    await copying;
    await log.close();
    let message = exit.terminationMessage;
    if (message === "" && exit.exitCode !== 0 && slot.container.terminationMessagePolicy === "FallbackToLogsOnError") {
      message = await log.readTail(80, 2048);
    }
    await this.#noteExit(slot, {
      exitCode: exit.isOomKilled ? 137 : exit.exitCode,
      signal: exit.signal,
      reason: exit.isOomKilled ? "OOMKilled" : exit.exitCode === 0 ? "Completed" : "Error",
      message,
      startedMicros: exit.startedMicros,
      finishedMicros: exit.finishedMicros,
    });
  }

  async #noteExit(slot: Slot, exit: NonNullable<ContainerAttempt["exit"]>): Promise<void> {
    if (slot.current === undefined || slot.current.exit !== undefined) return;
    slot.current = { ...slot.current, exit };
    await slot.log?.close();
    await this.#save();
    this.#publish();
  }

  // ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #beginStop(graceSeconds: number): void {
    const endsMs = this.#options.clock.nowMs() + graceSeconds * 1000;
    if (!this.#stop.signal.aborted) {
      this.#stop.abort(new Error("the pod is to stop"));
      void this.#signalContainers();
    }
    // A second request may only shorten the grace.
    if (endsMs >= this.#graceEndsMs) return;
    this.#graceEndsMs = endsMs;
    this.#killTimer?.abort();
    const timer = new AbortController();
    this.#killTimer = timer;
    this.#options.clock
      .sleep(Math.max(0, graceSeconds * 1000), AbortSignal.any([timer.signal, this.#detach.signal]))
      .then(async () => await this.#instance?.kill())
      .catch(() => {});
  }

  async #signalContainers(): Promise<void> {
    const { events } = this.#options;
    const instance = this.#instance;
    if (instance === undefined) return;
    for (const slot of this.#slots) {
      if (!slot.isRunning || slot.current === undefined) continue;
      const name = slot.container.name;
      events.normal(this.#pod, "Killing", `Stopping container ${name}`, `spec.containers{${name}}`);
      try {
        const image = await this.#options.images.get(slot.imageDigest);
        const stopSignal = image === undefined || image.config.stopSignal === "" ? "SIGTERM" : image.config.stopSignal;
        await instance.signal(slot.current.id, stopSignal, this.#detach.signal);
      } catch (error) {
        if (isAbort(error)) return;
        this.#logger.debug({ container: name, reason: describeError(error) }, "the stop signal was not delivered");
      }
    }
  }

  #armDeadline(): void {
    const seconds = this.#pod.spec.activeDeadlineSeconds;
    if (seconds === undefined) return;
    const leftMs = this.#startTimeMs + seconds * 1000 - this.#options.clock.nowMs();
    this.#options.clock
      .sleep(Math.max(0, leftMs), this.#signal)
      .then(() => {
        this.#failure = {
          reason: "DeadlineExceeded",
          message: "Pod was active on the node longer than the specified deadline",
        };
        this.#options.events.normal(this.#pod, "DeadlineExceeded", this.#failure.message);
        this.#beginStop(Math.min(30, this.#pod.spec.terminationGracePeriodSeconds ?? 30));
      })
      .catch(() => {});
  }

  async #dropInstance(): Promise<void> {
    const instance = this.#instance;
    this.#instance = undefined;
    this.#isSandboxReady = false;
    if (instance === undefined) return;
    await instance.kill();
    await rm(instance.machine.directory, { recursive: true, force: true });
  }

  /** Gives back everything the instance held, notes how its containers ended, and closes its bill. */
  async #release(): Promise<void> {
    const { clock, network, images, userIds, records } = this.#options;
    if (this.#record.isReleased) return;
    await this.#findInstance();
    await this.#dropInstance();
    this.#killTimer?.abort();
    const now = Number(clock.nowMicros());
    for (const slot of this.#slots) {
      if (slot.isRunning) {
        const startedMicros = slot.current?.startedMicros ?? now;
        const end = { exitCode: 137, signal: 9, reason: "Error", message: "", startedMicros, finishedMicros: now };
        await this.#noteExit(slot, end);
      }
      await slot.log?.close();
    }
    const lastEnd = Math.max(0, ...this.#slots.map((slot) => slot.current?.exit?.finishedMicros ?? 0));
    await this.#closeSegment(lastEnd === 0 ? now : lastEnd, this.#endCause());
    await network.detach(this.podUID);
    await images.release(this.podUID);
    await rm(join(records.directoryOf(this.podUID), "scratch.qcow2"), { force: true });
    if (this.#record.userId !== 0) userIds.release(this.#record.userId);
    this.#record = { ...this.#record, isReleased: true };
    await this.#save();
    // The bill is in the API before the end is told: the ledger takes it from there.
    await this.#writeSegments();
  }

  #endCause(): string {
    if (this.#failure !== undefined) return this.#failure.reason;
    if (this.#pod.metadata.deletionTimestamp !== undefined || this.#isGone) return "Deleted";
    return "Completed";
  }

  /** Tells the API server that nothing runs any more: only the node agent may take the last step. */
  async #confirmDeletion(): Promise<void> {
    const { client, clock } = this.#options;
    const { namespace, name } = this.#pod.metadata;
    await retry(
      async () => {
        try {
          await client.delete(resources.pods, namespace, name, {
            signal: this.#detach.signal,
            body: { gracePeriodSeconds: 0, preconditions: { uid: this.podUID } },
          });
        } catch (error) {
          if (isNotFound(error) || isConflict(error)) this.#isGone = true;
          else throw error;
        }
      },
      { clock, signal: this.#detach.signal, initialMs: 100, maxMs: 10_000 },
    );
  }

  // ── the bill ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #openSegment(startMicros: number): Promise<void> {
    const { segments } = this.#record;
    if (segments.some((one) => one.endMicros === undefined)) return;
    const name = `${this.podUID}-${segments.length}`;
    this.#record = { ...this.#record, segments: [...segments, { name, startMicros, isWritten: false }] };
    await this.#save();
    void this.#writeSegments().catch(() => {});
  }

  async #closeSegment(endMicros: number, endCause: string): Promise<void> {
    const { segments } = this.#record;
    if (!segments.some((one) => one.endMicros === undefined)) return;
    this.#record = {
      ...this.#record,
      segments: segments.map((one) =>
        one.endMicros === undefined
          ? { ...one, endMicros: Math.max(one.startMicros, endMicros), endCause, isWritten: false }
          : one,
      ),
    };
    await this.#save();
  }

  async #writeSegments(): Promise<void> {
    for (const segment of this.#record.segments) {
      if (segment.isWritten) continue;
      await this.#options.usage.write(this.#pod, this.#size, segment, this.#detach.signal);
      this.#record = {
        ...this.#record,
        segments: this.#record.segments.map(
          (one): SegmentRecord =>
            one.name === segment.name && one.endMicros === segment.endMicros ? { ...one, isWritten: true } : one,
        ),
      };
    }
    await this.#save();
  }

  // ── record and status ────────────────────────────────────────────────────────────────────────────────────────────

  #stage(name: string): void {
    this.#stages[name] ??= Number(this.#options.clock.nowMicros());
  }

  #logDirectory(slot: Slot): string {
    return join(this.#options.records.directoryOf(this.podUID), "logs", slot.container.name);
  }

  async #save(): Promise<void> {
    const write = this.#saving.then(async () => {
      this.#record = { ...this.#record, containers: this.#slots.map((slot) => slot.record), stages: this.#stages };
      await this.#options.records.save(this.#record);
    });
    this.#saving = write.catch(() => {});
    await write;
  }

  #publish(): void {
    this.#isStatusDirty = true;
    this.#publishing ??= this.#publishLoop().finally(() => {
      this.#publishing = undefined;
    });
  }

  async #flushStatus(): Promise<void> {
    while (this.#publishing !== undefined) await this.#publishing;
  }

  async #publishLoop(): Promise<void> {
    const { client, clock } = this.#options;
    while (this.#isStatusDirty && !this.#isGone && !this.#detach.signal.aborted) {
      this.#isStatusDirty = false;
      const status = this.#status();
      const annotations = { "isopod.dev/start-stages": JSON.stringify(this.#stages) };
      const text = JSON.stringify(status);
      if (text === this.#published) continue;
      const { namespace, name } = this.#pod.metadata;
      try {
        await client.patch(
          resources.pods,
          namespace,
          name,
          { metadata: { uid: this.podUID, annotations }, status },
          { subresource: "status", signal: this.#detach.signal },
        );
        this.#published = text;
      } catch (error) {
        if (isNotFound(error) || isConflict(error) || this.#detach.signal.aborted) return;
        this.#logger.warn({ reason: describeError(error) }, "the pod's status was not written; trying again");
        this.#isStatusDirty = true;
        await clock.sleep(500, this.#detach.signal).catch(() => {});
      }
    }
  }

  #status(): PodStatus {
    const { hostIP, clock } = this.#options;
    const view = {
      pod: this.#pod,
      containers: this.#slots,
      podIP: this.#podIP,
      hostIP,
      startTimeMs: this.#startTimeMs,
      isSandboxReady: this.#isSandboxReady,
      failure: this.#failure,
      isOver: this.#isOver,
    };
    return podStatus(view, this.#pod.status, clock.nowMs());
  }

  /** Variables for `exec`: the container's own. */
  async execEnvironment(containerName: string): Promise<readonly string[]> {
    const slot = this.#slot(containerName);
    const image = await this.#options.images.get(slot.imageDigest);
    const sources = await fetchSources(
      this.#options.client,
      this.#pod,
      { podIP: this.#podIP, hostIP: this.#options.hostIP, size: this.#size },
      this.#signal,
    );
    const variables = new Map<string, string>();
    for (const line of image?.config.env ?? []) {
      const equals = line.indexOf("=");
      if (equals > 0) variables.set(line.slice(0, equals), line.slice(equals + 1));
    }
    for (const [name, value] of containerEnvironment(this.#pod, slot.container, sources)) variables.set(name, value);
    return [...variables].map(([name, value]) => `${name}=${value}`);
  }
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
