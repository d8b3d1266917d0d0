import { readdir } from "node:fs/promises";
import { cpus } from "node:os";
import { basename, dirname, join } from "node:path";
import { isNotFound, type NetworkInterface, type Pod, resources, type VPC } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger, retry } from "@isopod/base";
import { EventRecorder, Informer, type KubeClient, keyOf } from "@isopod/client";
import type { ImageStore } from "@isopod/image";
import type { HostNetwork } from "@isopod/network";
import type { Vmm } from "@isopod/vmm";
import type { ScratchDisks } from "@isopod/volume";
import { keepHeartbeat, lastHeartbeat } from "./heartbeat.ts";
import { Instance } from "./instance.ts";
import { type InstanceRecord, InstanceRecords, UserIds } from "./instance-record.ts";
import { uploadPrefix } from "./image-endpoint.ts";
import { type KubeletServer, type KubeletTls, startKubeletServer } from "./kubelet-server.ts";
import { NodeSnapshots } from "./node-snapshots.ts";
import { allocatableMiB, NodeRegistration, type NodeSettings } from "./node-registration.ts";
import { hostDns } from "./pod-files.ts";
import type { PodWorkerOptions } from "./pod-context.ts";
import { PodWorker } from "./pod-worker.ts";
import { SnapshotFiles } from "./snapshot-files.ts";
import { UsageRecorder } from "./usage-recorder.ts";
import { VmmTemplates } from "./vmm-templates.ts";

export interface NodeAgentOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly vmm: Vmm;
  readonly images: ImageStore;
  readonly network: HostNetwork;
  readonly scratch: ScratchDisks;
  /** Instances' records, logs and disks. */
  readonly instancesDirectory: string;
  /** Default: `snapshots` beside the instances. */
  readonly snapshotsDirectory?: string;
  /** Without the port, which the agent's own HTTPS server chooses or is told by `kubeletPort`. */
  readonly settings: Omit<NodeSettings, "kubeletPort">;
  /** 0 picks a free one. */
  readonly kubeletPort: number;
  readonly kubeletTls: KubeletTls;
  /** Host user ids for VMs: the first one, as many as `maxPods` needs and more. */
  readonly firstUserId: number;
  readonly bootTimeoutMs?: number;
}

const workerBackoff = { initialMs: 1000, maxMs: 60_000 } as const;

/** User ids are not reused until this many others were. */
const userIdCount = 10_000;

/**
 * The kubelet's role on one host: runs the pods bound to its node, each in its {@link PodWorker}.
 *
 * It may die at any moment: VMs run on, and the next one finds them by the records on disk. A pod's instance is taken
 * down only when the API says with certainty that the pod is gone: by a watch event or a 404 for this very pod, never
 * because a list came back without it.
 */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #workers = new Map<string, { worker: PodWorker; done: Promise<void> }>();
  readonly #records: InstanceRecords;
  /** Records of an earlier process by pod UID: whoever sees the pod first, list or resume, takes it up with its record. */
  readonly #earlier = new Map<string, InstanceRecord>();
  readonly #userIds: UserIds;
  readonly #pods: Informer<Pod>;
  readonly #interfaces: Informer<NetworkInterface>;
  readonly #vpcs: Informer<VPC>;
  readonly #events: EventRecorder;
  readonly #stop = new AbortController();
  #server: KubeletServer | undefined;
  #templates: VmmTemplates | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #snapshotting: Promise<void> = Promise.resolve();
  readonly #stopSnapshots = new AbortController();
  #beating: Promise<void> = Promise.resolve();

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    const { client, clock, logger, settings } = options;
    this.#records = new InstanceRecords(options.instancesDirectory);
    this.#userIds = new UserIds(options.firstUserId, userIdCount);
    const informing = { client, clock, logger };
    this.#pods = new Informer(resources.pods, { ...informing, fieldSelector: `spec.nodeName=${settings.name}` });
    this.#interfaces = new Informer(resources.networkinterfaces, informing);
    this.#vpcs = new Informer(resources.vpcs, informing);
    this.#events = new EventRecorder({ client, clock, logger, component: "kubelet", host: settings.name });
  }

  /** Resolves when the node is registered and the pods of its last life are taken up again. */
  async start(): Promise<void> {
    const { client, clock, logger, settings, kubeletTls, images } = this.#options;
    const signal = this.#stop.signal;
    const bootTimeoutMs = this.#options.bootTimeoutMs ?? 120_000;
    const records = await this.#records.load(async (directory) => await this.#clearAway(directory, bootTimeoutMs));
    const heartbeatPath = join(this.#records.directory, "heartbeat");
    const lastHeartbeatMicros = await lastHeartbeat(heartbeatPath);
    for (const record of records) {
      this.#earlier.set(record.podUID, record);
      if (record.userId !== 0 && !record.isReleased) this.#userIds.take(record.userId);
    }
    const templates = new VmmTemplates({
      vmm: this.#options.vmm,
      scratch: this.#options.scratch,
      logger,
      largest: {
        cpuMilli: Math.floor(cpus().length * settings.cpuOvercommit * 1000),
        memoryMiB: allocatableMiB(settings),
      },
    });
    this.#templates = templates;
    const { snapshotsDirectory = join(dirname(this.#records.directory), "snapshots") } = this.#options;
    const snapshots = new SnapshotFiles(snapshotsDirectory);
    const workerOptions: PodWorkerOptions = {
      ...this.#options,
      templates,
      events: this.#events,
      usage: new UsageRecorder({ client, clock, logger, nodeName: settings.name }),
      nodeName: settings.name,
      hostIP: settings.hostIP,
      lastHeartbeatMicros,
      records: this.#records,
      snapshots,
      userIds: this.#userIds,
      dns: await hostDns(),
      interfaceOf: async (podUID, until) => await this.#interfaceOf(podUID, until),
      vpc: async (name, until) =>
        this.#vpcs.get(name) ?? (await client.get(resources.vpcs, undefined, name, { signal: until })),
      bootTimeoutMs,
    };
    this.#server = await startKubeletServer({
      port: this.#options.kubeletPort,
      host: settings.hostIP,
      tls: kubeletTls,
      logger,
      images,
      templates,
      // A directory without a record is cleared away at the next start: so are uploads that a crash cut off.
      uploadsDirectory: this.#records.directory,
      findPod: (namespace, name) => this.#findWorker(namespace, name),
      pods: () => [...this.#workers.values()].map((one) => one.worker.pod),
    });
    const registration = new NodeRegistration({
      client,
      clock,
      logger,
      settings: { ...settings, kubeletPort: this.#server.port },
      directory: this.#records.directory,
      onDiskPressure: () => {
        images.collectGarbage().then(
          ({ freedBytes }) => {
            if (freedBytes > 0) logger.info({ freedBytes }, "the disk is nearly full; unused image blobs were deleted");
          },
          (error: unknown) => logger.warn({ reason: describeError(error) }, "unused image blobs were not deleted"),
        );
      },
    });
    const registered = Promise.withResolvers<void>();
    this.#pods.onChange((_key, pod, previous) => this.#onPod(pod, previous, workerOptions));
    this.#running = Promise.all([
      this.#pods.run(signal),
      this.#interfaces.run(signal),
      this.#vpcs.run(signal),
      registration.run(signal, registered.resolve).catch((error: unknown) => {
        if (!signal.aborted) logger.error({ reason: describeError(error) }, "the node could not be registered");
      }),
    ]);
    await this.#resume(records, workerOptions);
    // Not before: a VM that died with the last node agent is to be found by that one's heartbeat.
    this.#beating = keepHeartbeat(heartbeatPath, clock, logger, signal);
    await Promise.all([registered.promise, this.#pods.ready, this.#vpcs.ready]);
    this.#snapshotting = this.#keepSnapshots(snapshots);
    logger.info({ node: settings.name, instances: this.#workers.size, port: this.#server.port }, "node agent is ready");
  }

  /** Stops working; instances go on. */
  async stop(): Promise<void> {
    this.#stopSnapshots.abort(new Error("the node agent stops"));
    await this.#snapshotting;
    for (const { worker } of this.#workers.values()) worker.detach();
    await Promise.all([...this.#workers.values()].map((one) => one.done));
    this.#stop.abort(new Error("the node agent stops"));
    await Promise.all([this.#running, this.#beating]);
    await this.#templates?.close();
    await this.#events.flush();
    await this.#server?.close();
  }

  async #keepSnapshots(files: SnapshotFiles): Promise<void> {
    const { client, clock, logger, vmm, images, settings } = this.#options;
    const signal = this.#stopSnapshots.signal;
    const snapshots = new NodeSnapshots({
      client,
      clock,
      logger,
      vmm,
      images,
      files,
      events: this.#events,
      nodeName: settings.name,
      findPod: (namespace, name) => this.#findWorker(namespace, name),
    });
    try {
      await snapshots.run(signal);
    } catch (error) {
      if (!signal.aborted) logger.error({ reason: describeError(error) }, "no snapshots can be made on this node");
    }
  }

  /** Takes up the instances an earlier process left, before the first list, each with its pod read on its own. */
  async #resume(records: readonly InstanceRecord[], options: PodWorkerOptions): Promise<void> {
    const { client, clock } = this.#options;
    await Promise.all(
      records.map(async (record) => {
        const pod = await retry(
          async () => {
            try {
              return await client.get(resources.pods, record.namespace, record.name, { signal: this.#stop.signal });
            } catch (error) {
              if (isNotFound(error)) return undefined;
              throw error;
            }
          },
          { clock, signal: this.#stop.signal, initialMs: 100, maxMs: 5000 },
        );
        if (this.#workers.has(record.podUID)) return;
        if (pod?.metadata.uid === record.podUID) this.#begin(pod, options);
        else this.#endOrphan(record, options);
      }),
    );
  }

  /** The pod of this record was removed for good while nobody watched. */
  #endOrphan(record: InstanceRecord, options: PodWorkerOptions): void {
    const containers = record.containers.map(({ name }) => ({ name, image: "" }));
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: record.name, namespace: record.namespace, uid: record.podUID },
      spec: { containers: containers.length === 0 ? [{ name: "unknown" }] : containers },
    };
    this.#begin(pod, options);
    this.#workers.get(record.podUID)?.worker.update(undefined);
  }

  /** Ends what may run from a directory that no readable record speaks of. */
  async #clearAway(directory: string, bootTimeoutMs: number): Promise<boolean> {
    const { vmm, clock, logger, images, network } = this.#options;
    if (basename(directory).startsWith(uploadPrefix)) return true;
    logger.warn({ directory }, "an instance without a record is cleared away");
    try {
      for (const name of await readdir(directory)) {
        if (!name.startsWith("vm-")) continue;
        const instance = await Instance.find(join(directory, name), { vmm, clock, logger, bootTimeoutMs });
        await instance?.kill();
      }
      await network.detach(basename(directory));
      await images.release(basename(directory));
      return true;
    } catch (error) {
      logger.error(
        { directory, reason: describeError(error) },
        "it could not be cleared away; the next start tries again",
      );
      return false;
    }
  }

  #onPod(pod: Pod | undefined, previous: Pod | undefined, options: PodWorkerOptions): void {
    // The same name may be a new pod.
    if (previous !== undefined && pod?.metadata.uid !== previous.metadata.uid) void this.#confirmGone(previous);
    if (pod === undefined) return;
    const known = this.#workers.get(pod.metadata.uid ?? "");
    if (known === undefined) this.#begin(pod, options);
    else known.worker.update(pod);
  }

  /**
   * A pod that the copy no longer has was deleted, or a list came back without it: an instance is ended only when the
   * API says of this very pod that it is gone.
   */
  async #confirmGone(pod: Pod): Promise<void> {
    const { client, clock, logger } = this.#options;
    const { namespace, name, uid = "" } = pod.metadata;
    if (!this.#workers.has(uid)) return;
    const ask = async (): Promise<boolean> => {
      try {
        return (await client.get(resources.pods, namespace, name, { signal: this.#stop.signal })).metadata.uid !== uid;
      } catch (error) {
        if (isNotFound(error)) return true;
        throw error;
      }
    };
    try {
      const isGone = await retry(ask, { clock, signal: this.#stop.signal, initialMs: 100, maxMs: 5000 });
      if (isGone) this.#workers.get(uid)?.worker.update(undefined);
      else logger.warn({ pod: keyOf(pod) }, "a list came back without a pod that is still there");
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  #begin(pod: Pod, options: PodWorkerOptions): void {
    const uid = pod.metadata.uid ?? "";
    if (this.#workers.has(uid) || this.#stop.signal.aborted) return;
    const entry = { worker: new PodWorker(pod, this.#earlier.get(uid), options), done: Promise.resolve() };
    this.#earlier.delete(uid);
    this.#workers.set(uid, entry);
    entry.done = this.#keepRunning(entry, options).finally(() => this.#workers.delete(uid));
  }

  /** A worker that fails for a reason nobody thought of is replaced by one that begins with the record. */
  async #keepRunning(entry: { worker: PodWorker }, options: PodWorkerOptions): Promise<void> {
    const { clock, logger } = this.#options;
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      const { worker } = entry;
      try {
        return await worker.run();
      } catch (error) {
        const reason = describeError(error);
        logger.error({ pod: keyOf(worker.pod), reason }, "the pod's worker failed; another takes its place");
      }
      await clock.sleep(backoffDelayMs(failures, workerBackoff), this.#stop.signal).catch(() => {});
      const { pod, isGone } = worker;
      entry.worker = new PodWorker(pod, await this.#records.read(pod.metadata.uid ?? ""), options);
      if (isGone) entry.worker.update(undefined);
    }
  }

  #findWorker(namespace: string, name: string): PodWorker | undefined {
    const isWanted = ({ metadata }: Pod): boolean => metadata.namespace === namespace && metadata.name === name;
    const found = [...this.#workers.values()].map((one) => one.worker).filter((worker) => isWanted(worker.pod));
    // One of that name may still be on its way out when the next is there already.
    return found.find((worker) => !worker.isGone) ?? found[0];
  }

  async #interfaceOf(podUID: string, signal: AbortSignal): Promise<NetworkInterface> {
    const find = (): NetworkInterface | undefined => {
      for (const one of this.#interfaces.values()) if (one.spec.podUID === podUID) return one;
      return undefined;
    };
    const present = find();
    if (present !== undefined) return present;
    return await new Promise<NetworkInterface>((resolve, reject) => {
      const stop = this.#interfaces.onChange((_key, current) => {
        if (current?.spec.podUID !== podUID) return;
        stop();
        resolve(current);
      });
      signal.addEventListener(
        "abort",
        () => {
          stop();
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }
}
