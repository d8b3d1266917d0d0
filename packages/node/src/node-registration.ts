import { readFile } from "node:fs/promises";
import { cpus, hostname, release, totalmem } from "node:os";
import { isAlreadyExists, isNotFound, type Lease, type Node, type NodeCondition, resources } from "@isopod/api";
import { type Clock, describeError, type Logger, retry } from "@isopod/base";
import type { KubeClient } from "@isopod/client";
import { formatMicros } from "./container-log.ts";
import { pressures, readHostLoad } from "./host-pressure.ts";
import { formatTime } from "./pod-status.ts";

export interface NodeSettings {
  readonly name: string;
  readonly hostIP: string;
  readonly kubeletPort: number;
  /** Sold vCPU per real one; default 4. */
  readonly cpuOvercommit: number;
  /** Sold memory per real memory; default 1. */
  readonly memoryOvercommit: number;
  readonly maxPods: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly version: string;
  /** As in `QEMU 7.2.22 (tcg)`. */
  readonly runtimeVersion: string;
}

export interface RegistrationOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: NodeSettings;
  /** On the file system that holds images and disks. */
  readonly directory: string;
  /** Called with every heartbeat while that file system is nearly full. */
  readonly onDiskPressure: () => void;
}

const leaseNamespace = "kube-node-lease";
const leaseSeconds = 40;
const heartbeatMs = 10_000;
/** Host memory kept for the host and for the service itself. */
const reservedMiB = 1024;

/**
 * Makes the node known: its object with capacity and conditions, and a lease renewed every ten seconds.
 *
 * `allocatable` is what can be sold, overcommit applied; `capacity` is what the machine has.
 */
export class NodeRegistration {
  readonly #options: RegistrationOptions;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Registers, then keeps the heartbeat until the signal aborts. */
  async run(signal: AbortSignal, onRegistered: () => void): Promise<void> {
    const { clock, logger } = this.#options;
    await retry(async () => await this.#register(signal), { clock, signal, initialMs: 100, maxMs: 5000 });
    onRegistered();
    while (!signal.aborted) {
      await clock.sleep(heartbeatMs, signal).catch(() => {});
      if (signal.aborted) break;
      try {
        await this.#renewLease(signal);
        await this.#patchStatus(signal);
      } catch (error) {
        logger.warn({ reason: describeError(error) }, "the node's heartbeat was not written; trying again");
      }
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { client, settings } = this.#options;
    const node: Node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: settings.name,
        labels: {
          "kubernetes.io/hostname": settings.name,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": "amd64",
          ...settings.labels,
        },
      },
      spec: {},
    };
    try {
      await client.create(resources.nodes, node, { signal });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await client.patch(
        resources.nodes,
        undefined,
        settings.name,
        { metadata: { labels: node.metadata.labels } },
        { signal },
      );
    }
    await this.#renewLease(signal);
    await this.#patchStatus(signal);
  }

  async #patchStatus(signal: AbortSignal): Promise<void> {
    const { client, settings } = this.#options;
    const current = await client.get(resources.nodes, undefined, settings.name, { signal });
    const status = await this.#status(current.status?.conditions ?? []);
    await client.patch(resources.nodes, undefined, settings.name, { status }, { subresource: "status", signal });
  }

  async #status(before: readonly NodeCondition[]): Promise<NonNullable<Node["status"]>> {
    const { clock, settings } = this.#options;
    const now = formatTime(clock.nowMs());
    const condition = (type: string, status: "True" | "False", reason: string, message: string): NodeCondition => {
      const known = before.find((one) => one.type === type);
      const lastTransitionTime = known?.status === status ? (known.lastTransitionTime ?? now) : now;
      return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime };
    };
    const pressed = pressures(await readHostLoad(this.#options.directory));
    if (pressed.some((one) => one.type === "DiskPressure" && one.isUnder)) this.#options.onDiskPressure();
    const memoryMiB = hostMemoryMiB();
    const cores = cpus().length;
    return {
      capacity: { cpu: String(cores), memory: `${memoryMiB}Mi`, pods: String(settings.maxPods) },
      allocatable: {
        cpu: `${Math.floor(cores * settings.cpuOvercommit * 1000)}m`,
        memory: `${allocatableMiB(settings)}Mi`,
        pods: String(settings.maxPods),
      },
      conditions: [
        ...pressed.map(({ type, isUnder, reason, message }) =>
          condition(type, isUnder ? "True" : "False", reason, message),
        ),
        condition("Ready", "True", "KubeletReady", "the node agent is ready to run instances"),
      ],
      addresses: [
        { type: "InternalIP", address: settings.hostIP },
        { type: "Hostname", address: hostname() },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: settings.kubeletPort } },
      nodeInfo: {
        machineID: await readLine("/etc/machine-id"),
        systemUUID: await readLine("/sys/class/dmi/id/product_uuid"),
        bootID: await readLine("/proc/sys/kernel/random/boot_id"),
        kernelVersion: release(),
        osImage: await osName(),
        containerRuntimeVersion: `isopod://${settings.runtimeVersion}`,
        kubeletVersion: settings.version,
        kubeProxyVersion: "",
        operatingSystem: "linux",
        architecture: "amd64",
      },
    };
  }

  async #renewLease(signal: AbortSignal): Promise<void> {
    const { client, clock, settings } = this.#options;
    const renewTime = formatMicros(Number(clock.nowMicros()));
    const spec = { holderIdentity: settings.name, leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      await client.patch(resources.leases, leaseNamespace, settings.name, { spec }, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const lease: Lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: settings.name, namespace: leaseNamespace },
        spec,
      };
      await client.create(resources.leases, lease, { signal });
    }
  }
}

/** What can be sold of the host's memory. */
export function allocatableMiB({ memoryOvercommit }: Pick<NodeSettings, "memoryOvercommit">): number {
  return Math.max(0, Math.floor((hostMemoryMiB() - reservedMiB) * memoryOvercommit));
}

function hostMemoryMiB(): number {
  return Math.floor(totalmem() / 1024 / 1024);
}

async function readLine(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

async function osName(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? "Linux";
}
