import { readdir } from "node:fs/promises";
import { cpus } from "node:os";
import { basename, dirname, join } from "node:path";
import { type NetworkInterface, type Pod, resources, type VPC } from "@isopod/api";
import { type Clock, describeError, type Logger } from "@isopod/base";
import { EventRecorder, Informer, type KubeClient } from "@isopod/client";
import type { ImageStore } from "@isopod/image";
import type { HostNetwork } from "@isopod/network";
import type { Vmm } from "@isopod/vmm";
import type { ScratchDisks } from "@isopod/volume";
import { keepHeartbeat, lastHeartbeat } from "./heartbeat.ts";
import { InstanceRecords, UserIds } from "./instance-record.ts";
import { uploadPrefix } from "./image-endpoint.ts";
import { type KubeletServer, type KubeletTls, startKubeletServer } from "./kubelet-server.ts";
import { NodeSnapshots } from "./node-snapshots.ts";
import { allocatableMiB, NodeRegistration, type NodeSettings } from "./node-registration.ts";
import { hostDns } from "./pod-files.ts";
import type { PodWorkerOptions } from "./pod-context.ts";
import { interfaceOf } from "./pod-interface.ts";
import { PodWorker } from "./pod-worker.ts";
import { PodWorkers } from "./pod-workers.ts";
import { runAll } from "./run-all.ts";
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

/** User ids are not reused until this many others were. */
const userIdCount = 10_000;

/**
 * The kubelet's role on one host: runs the pods bound to its node, each in its {@link PodWorker}.
 *
 * It may die at any moment: VMs run on, and the next one finds them by the records on disk.
 */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #records: InstanceRecords;
  readonly #userIds: UserIds;
  readonly #pods: Informer<Pod>;
  readonly #interfaces: Informer<NetworkInterface>;
  readonly #vpcs: Informer<VPC>;
  readonly #events: EventRecorder;
  readonly #stop = new AbortController();
  #workers: PodWorkers<PodWorker> | undefined;
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
    const records = await this.#records.load(async (directory) => await this.#clearAway(directory));
    const heartbeatPath = join(this.#records.directory, "heartbeat");
    const lastHeartbeatMicros = await lastHeartbeat(heartbeatPath);
    for (const record of records) {
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
    const snapshots = new SnapshotFiles(snapshotsDirectory, this.#options.vmm);
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
      interfaceOf: async (podUID, until) => await interfaceOf(this.#interfaces, podUID, until),
      vpc: async (name, until) =>
        this.#vpcs.get(name) ?? (await client.get(resources.vpcs, undefined, name, { signal: until })),
      bootTimeoutMs,
    };
    const workers = new PodWorkers({
      client,
      clock,
      logger,
      records: this.#records,
      earlier: records,
      make: (pod, record) => new PodWorker(pod, record, workerOptions),
    });
    this.#workers = workers;
    this.#server = await startKubeletServer({
      port: this.#options.kubeletPort,
      host: settings.hostIP,
      tls: kubeletTls,
      logger,
      images,
      templates,
      // A directory without a record is cleared away at the next start: so are uploads that a crash cut off.
      uploadsDirectory: this.#records.directory,
      findPod: (namespace, name) => workers.find(namespace, name),
      pods: () => workers.all().map((one) => one.pod),
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
    this.#pods.onChange((_key, pod, previous) => workers.onChange(pod, previous));
    this.#running = Promise.all([
      this.#pods.run(signal),
      this.#interfaces.run(signal),
      this.#vpcs.run(signal),
      registration.run(signal, registered.resolve).catch((error: unknown) => {
        if (!signal.aborted) logger.error({ reason: describeError(error) }, "the node could not be registered");
      }),
    ]);
    await workers.resume();
    // Not before: a VM that died with the last node agent is to be found by that one's heartbeat.
    this.#beating = keepHeartbeat(heartbeatPath, clock, logger, signal);
    await Promise.all([registered.promise, this.#pods.ready, this.#vpcs.ready]);
    this.#snapshotting = this.#keepSnapshots(snapshots, workers);
    logger.info(
      { node: settings.name, instances: workers.all().length, port: this.#server.port },
      "node agent is ready",
    );
  }

  /** Stops working; instances go on. */
  async stop(): Promise<void> {
    this.#stopSnapshots.abort(new Error("the node agent stops"));
    await runAll([
      async () => await this.#snapshotting,
      async () => await this.#workers?.close(),
      async () => {
        this.#stop.abort(new Error("the node agent stops"));
        await Promise.all([this.#running, this.#beating]);
      },
      async () => await this.#templates?.close(),
      async () => await this.#events.flush(),
      async () => await this.#server?.close(),
    ]);
  }

  async #keepSnapshots(files: SnapshotFiles, workers: PodWorkers<PodWorker>): Promise<void> {
    const { client, clock, logger, images, settings } = this.#options;
    const signal = this.#stopSnapshots.signal;
    const snapshots = new NodeSnapshots({
      client,
      clock,
      logger,
      images,
      files,
      events: this.#events,
      nodeName: settings.name,
      findPod: (namespace, name) => workers.find(namespace, name),
    });
    try {
      await snapshots.run(signal);
    } catch (error) {
      if (!signal.aborted) logger.error({ reason: describeError(error) }, "no snapshots can be made on this node");
    }
  }

  /** Ends what may run from a directory that no readable record speaks of. */
  async #clearAway(directory: string): Promise<boolean> {
    const { vmm, logger, images, network } = this.#options;
    if (basename(directory).startsWith(uploadPrefix)) return true;
    logger.warn({ directory }, "an instance without a record is cleared away");
    try {
      for (const name of await readdir(directory)) {
        if (name.startsWith("vm-")) await vmm.end(join(directory, name));
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
}
