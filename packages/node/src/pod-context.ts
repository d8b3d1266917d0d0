import {
  type InstanceSize,
  largestSize,
  type NetworkInterface,
  type Pod,
  podSize,
  startedFromAnnotation,
  startStagesAnnotation,
  type VPC,
} from "@isopod/api";
import type { Clock, Logger } from "@isopod/base";
import type { EventRecorder, KubeClient } from "@isopod/client";
import type { ImageStore } from "@isopod/image";
import type { HostNetwork } from "@isopod/network";
import type { Vmm } from "@isopod/vmm";
import type { ScratchDisks } from "@isopod/volume";
import { ContainerSlot } from "./container-slot.ts";
import type { Instance } from "./instance.ts";
import { type InstanceRecord, type InstanceRecords, recordVersion, type UserIds } from "./instance-record.ts";
import type { DnsDefaults } from "./pod-files.ts";
import { PodPause } from "./pod-pause.ts";
import { podStatus } from "./pod-status.ts";
import { RecordKeeper } from "./record-keeper.ts";
import type { SnapshotFiles } from "./snapshot-files.ts";
import { StatusPublisher } from "./status-publisher.ts";
import type { UsageRecorder } from "./usage-recorder.ts";
import { UsageSegments } from "./usage-segments.ts";
import type { VmmTemplates } from "./vmm-templates.ts";

/** What every pod's worker on a node works with. */
export interface PodWorkerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventRecorder;
  readonly usage: UsageRecorder;
  readonly nodeName: string;
  readonly hostIP: string;
  readonly vmm: Vmm;
  readonly images: ImageStore;
  readonly network: HostNetwork;
  readonly scratch: ScratchDisks;
  readonly templates: Pick<VmmTemplates, "forStart">;
  readonly records: InstanceRecords;
  readonly snapshots: Pick<SnapshotFiles, "directoryOf" | "read">;
  readonly userIds: UserIds;
  readonly dns: DnsDefaults;
  /** Resolves with the pod's interface once the ENI controller has made it. */
  readonly interfaceOf: (podUID: string, signal: AbortSignal) => Promise<NetworkInterface>;
  readonly vpc: (name: string, signal: AbortSignal) => Promise<VPC>;
  readonly bootTimeoutMs: number;
  /** When a node agent was last known to watch its VMs, µs, before this one came; undefined when none ever did. */
  readonly lastHeartbeatMicros: number | undefined;
}

export interface PodFailure {
  readonly reason: string;
  readonly message: string;
}

/** The state that the parts of one pod's worker share. */
export class PodContext {
  readonly options: PodWorkerOptions;
  readonly podUID: string;
  readonly logger: Logger;
  readonly size: InstanceSize;
  readonly slots: readonly ContainerSlot[];
  readonly record: RecordKeeper;
  readonly usage: UsageSegments;
  readonly pause: PodPause;
  /** Aborts when the pod is to stop: deletion, deadline. */
  readonly stop = new AbortController();
  /** Aborts when the node agent lets go of the pod; its VM runs on. */
  readonly detach = new AbortController();
  /** Aborts when the API no longer has the pod. */
  readonly gone = new AbortController();
  /** Aborts at a stop or a detach: signal of everything that either makes pointless. */
  readonly signal: AbortSignal;
  readonly startTimeMs: number;
  pod: Pod;
  instance: Instance | undefined;
  podIP: string;
  isSandboxReady = false;
  /** How the VM began, once it has. */
  startedFrom: "cold" | "template" | "snapshot" | undefined;
  failure: PodFailure | undefined;
  /** Nothing runs and nothing will again. */
  isOver = false;
  readonly #stages: Record<string, number>;
  readonly #publisher: StatusPublisher;

  constructor(pod: Pod, record: InstanceRecord | undefined, options: PodWorkerOptions) {
    const { clock, records } = options;
    this.options = options;
    this.pod = pod;
    this.podUID = pod.metadata.uid ?? "";
    this.logger = options.logger.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}` });
    // Admission refuses what is beyond the largest size.
    this.size = podSize(pod) ?? largestSize;
    this.signal = AbortSignal.any([this.stop.signal, this.detach.signal]);
    this.slots = slotsOf(pod, record);
    this.startTimeMs = pod.status?.startTime === undefined ? clock.nowMs() : Date.parse(pod.status.startTime);
    this.podIP = pod.status?.podIP ?? "";
    this.#stages = { seen: Number(clock.nowMicros()), ...record?.stages };
    const shared = { clock, logger: this.logger, detach: this.detach.signal };
    this.record = new RecordKeeper(record ?? newRecord(pod), { clock, logger: this.logger, records });
    this.usage = new UsageSegments({
      ...shared,
      record: this.record,
      recorder: options.usage,
      size: this.size,
      podLabels: () => this.pod.metadata.labels ?? {},
    });
    this.pause = new PodPause(this);
    this.#publisher = new StatusPublisher({
      ...shared,
      client: options.client,
      pod: () => this.pod,
      status: () => podStatus({ ...this.#view, containers: this.slots }, this.pod.status, clock.nowMs()),
      annotations: () => ({
        [startStagesAnnotation]: JSON.stringify(this.#stages),
        ...(this.startedFrom === undefined ? {} : { [startedFromAnnotation]: this.startedFrom }),
      }),
      signal: AbortSignal.any([this.gone.signal, this.detach.signal]),
    });
  }

  /** The pod's directory on this host. */
  get directory(): string {
    return this.options.records.directoryOf(this.podUID);
  }

  get nowMicros(): number {
    return Number(this.options.clock.nowMicros());
  }

  /** Whether a container that has ended may be started again. */
  get mayRestart(): boolean {
    return !this.stop.signal.aborted && this.failure === undefined;
  }

  /** Notes when a step of the start was done, the first time. */
  stage(name: string, micros = this.nowMicros): void {
    this.#stages[name] ??= micros;
  }

  /** The slots and stages are in the record; for {@link RecordKeeper.save} or `saveSoon`. */
  noted(): RecordKeeper {
    this.record.change({ containers: this.slots.map((slot) => slot.record), stages: { ...this.#stages } });
    return this.record;
  }

  /** The status changed. */
  publish(): void {
    this.#publisher.publish();
  }

  async flushStatus(): Promise<void> {
    await this.#publisher.flush();
  }

  get #view() {
    const { pod, podIP, startTimeMs, isSandboxReady, failure, isOver, options, pause } = this;
    const paused = { isPaused: pause.isPaused, pauseFailure: pause.failure };
    return { pod, podIP, startTimeMs, isSandboxReady, failure, isOver, hostIP: options.hostIP, ...paused };
  }
}

function newRecord(pod: Pod): InstanceRecord {
  return {
    version: recordVersion,
    podUID: pod.metadata.uid ?? "",
    namespace: pod.metadata.namespace ?? "default",
    name: pod.metadata.name,
    userId: 0,
    vmCount: 0,
    containers: [],
    segments: [],
    stages: {},
    isReleased: false,
  };
}

function slotsOf(pod: Pod, record: InstanceRecord | undefined): readonly ContainerSlot[] {
  const inits = (pod.spec.initContainers ?? []).map((one, index) => new ContainerSlot(one, index, true));
  const apps = pod.spec.containers.map((one, index) => new ContainerSlot(one, inits.length + index, false));
  if (inits.length > 0) for (const slot of apps) slot.isAfterInit = true;
  const slots = [...inits, ...apps];
  for (const slot of slots) slot.waitForStart();
  for (const saved of record?.containers ?? []) {
    slots.find((one) => one.container.name === saved.name)?.restore(saved);
  }
  return slots;
}
