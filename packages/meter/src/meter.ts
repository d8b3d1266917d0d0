import {
  isConflict,
  isNotFound,
  type Pod,
  podUidLabel,
  resources,
  type UsageSegment,
  usageFinalizer,
} from "@isopod/api";
import { type Clock, describeError, type Logger } from "@isopod/base";
import { Informer, type KubeClient, keyOf, splitKey, WorkQueue } from "@isopod/client";
import type { Ledger, LedgerEntry } from "./ledger/contract.ts";

export interface MeterOptions {
  readonly client: KubeClient;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly logger: Logger;
}

const leaseNamespace = "kube-node-lease";
const nodeGraceMs = 40_000;
const waitMs = 1000;
/** How often an open segment whose pod is gone is looked at. */
const orphanMs = 10_000;

/**
 * Moves closed usage segments into the ledger, and lets a deleted pod go once all of its segments are there.
 *
 * A pod keeps the finalizer `isopod.dev/usage` until then, so a meter that was down finds everything it missed.
 */
export class Meter {
  readonly #options: MeterOptions;
  readonly #segments: Informer<UsageSegment>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;

  constructor(options: MeterOptions) {
    this.#options = options;
    this.#segments = new Informer(resources.usagesegments, options);
    this.#pods = new Informer(resources.pods, options);
    this.#queue = new WorkQueue({ name: "meter", ...options });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#segments.onChange((key, segment) => {
      if (segment === undefined) return;
      this.#queue.add(`segment ${key}`);
    });
    this.#pods.onChange((key, pod, previous) => {
      if (isLeaving(pod)) this.#queue.add(`pod ${key}`);
      // The segments of a pod that is gone are in the ledger: their objects have served.
      if (pod === undefined && previous !== undefined) {
        for (const segment of this.#segments.values()) {
          if (segment.spec.podUID === previous.metadata.uid) this.#queue.add(`segment ${keyOf(segment)}`);
        }
      }
    });
    const informers = [this.#segments.run(signal), this.#pods.run(signal)];
    await this.#queue.run(async (item) => {
      const space = item.indexOf(" ");
      const key = item.slice(space + 1);
      if (item.startsWith("pod ")) await this.#letGo(key, signal);
      else await this.#record(key, signal);
    }, signal);
    await Promise.all(informers);
  }

  /** Every open segment, for bills of what still runs. */
  openSegments(): readonly UsageSegment[] {
    return [...this.#segments.values()].filter((one) => one.spec.endMicros === undefined);
  }

  /** Every segment that may not be in the ledger yet, open or closed. */
  unrecordedSegments(): readonly UsageSegment[] {
    return [...this.#segments.values()].filter((one) => one.status?.recorded !== true);
  }

  async #record(key: string, signal: AbortSignal): Promise<void> {
    const { client, ledger } = this.#options;
    const segment = this.#segments.get(key);
    if (segment === undefined) return;
    if (segment.spec.endMicros === undefined) return await this.#closeOrphan(key, segment, signal);
    const { namespace, name } = segment.metadata;
    if (segment.status?.recorded !== true) {
      await ledger.append(entryOf(segment, segment.spec.endMicros));
      try {
        await client.patch(
          resources.usagesegments,
          namespace,
          name,
          { status: { recorded: true } },
          { subresource: "status", signal },
        );
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      const podKey = `${namespace}/${segment.spec.podName}`;
      if (isLeaving(this.#pods.get(podKey))) this.#queue.add(`pod ${podKey}`);
      return;
    }
    if (await this.#hasPod(segment, signal)) return;
    await client.delete(resources.usagesegments, namespace, name, { signal }).catch(ignoreNotFound);
  }

  /** An open segment whose pod is gone is its node agent's to close; if the node is gone too, ours. */
  async #closeOrphan(key: string, segment: UsageSegment, signal: AbortSignal): Promise<void> {
    if (await this.#hasPod(segment, signal)) return;
    await this.#closeIfNodeIsLost(segment, signal);
    this.#queue.addAfter(`segment ${key}`, orphanMs);
  }

  async #hasPod(segment: UsageSegment, signal: AbortSignal): Promise<boolean> {
    const key = `${segment.metadata.namespace}/${segment.spec.podName}`;
    const { podUID } = segment.spec;
    if (this.#pods.get(key)?.metadata.uid === podUID) return true;
    return (await this.#findPod(key, signal))?.metadata.uid === podUID;
  }

  async #letGo(key: string, signal: AbortSignal): Promise<void> {
    const { client, ledger, logger } = this.#options;
    const pod = await this.#findPod(key, signal);
    if (pod === undefined || !isLeaving(pod)) return;
    const { namespace = "", name, uid = "", finalizers = [], resourceVersion } = pod.metadata;
    const { items } = await client.list(resources.usagesegments, {
      namespace,
      labelSelector: `${podUidLabel}=${uid}`,
      signal,
    });
    for (const segment of items) {
      if (segment.spec.endMicros === undefined) await this.#closeIfNodeIsLost(segment, signal);
      const isRecorded = await ledger.has(namespace, segment.metadata.name);
      if (!isRecorded) {
        this.#queue.add(`segment ${keyOf(segment)}`);
        this.#queue.addAfter(`pod ${key}`, waitMs);
        return;
      }
    }
    const kept = finalizers.filter((one) => one !== usageFinalizer);
    try {
      await client.patch(
        resources.pods,
        namespace,
        name,
        { metadata: { uid, resourceVersion, finalizers: kept } },
        { signal },
      );
    } catch (error) {
      if (isConflict(error)) this.#queue.add(`pod ${key}`);
      else if (!isNotFound(error)) {
        logger.warn({ pod: key, reason: describeError(error) }, "the usage finalizer was not removed");
        throw error;
      }
    }
  }

  /** A host that vanished closes its segments at its last proven heartbeat. */
  async #closeIfNodeIsLost(segment: UsageSegment, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options;
    const { nodeName, startMicros } = segment.spec;
    let renewedMs = startMicros / 1000;
    try {
      const lease = await client.get(resources.leases, leaseNamespace, nodeName, { signal });
      renewedMs = Date.parse(lease.spec?.renewTime ?? "") || renewedMs;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (clock.nowMs() - renewedMs < nodeGraceMs) return;
    const endMicros = Math.max(startMicros, Math.round(renewedMs * 1000));
    const { namespace, name, resourceVersion } = segment.metadata;
    // Conditional: a node that came back in this moment may have closed it itself.
    const patch = { metadata: { resourceVersion }, spec: { endMicros, endCause: "NodeLost" } };
    await client.patch(resources.usagesegments, namespace, name, patch, { signal });
  }

  async #findPod(key: string, signal: AbortSignal): Promise<Pod | undefined> {
    const { namespace, name } = splitKey(key);
    try {
      return await this.#options.client.get(resources.pods, namespace, name, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

/** Deleted, with nothing of it left on a node (the node agent, or force, set the grace to 0), and held by us. */
function isLeaving(pod: Pod | undefined): boolean {
  if (pod?.metadata.deletionTimestamp === undefined) return false;
  const isEnded = pod.metadata.deletionGracePeriodSeconds === 0 || (pod.spec.nodeName ?? "") === "";
  return isEnded && (pod.metadata.finalizers ?? []).includes(usageFinalizer);
}

/** The ledger's view of a segment that ends, or is looked at, at `endMicros`; a clock set back makes no time negative. */
export function entryOf(segment: UsageSegment, endMicros: number): LedgerEntry {
  const { spec, metadata } = segment;
  return {
    segment: metadata.name,
    namespace: metadata.namespace ?? "",
    podName: spec.podName,
    podUID: spec.podUID,
    nodeName: spec.nodeName,
    cpuMilli: spec.cpuMilli,
    memoryMiB: spec.memoryMiB,
    state: spec.state,
    startMicros: BigInt(spec.startMicros),
    endMicros: BigInt(Math.max(endMicros, spec.startMicros)),
    endCause: spec.endCause ?? "",
    labels: spec.podLabels ?? {},
  };
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
