import { isNotFound, type Pod, resources } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger, retry } from "@isopod/base";
import { type KubeClient, keyOf } from "@isopod/client";
import type { InstanceRecord, InstanceRecords } from "./instance-record.ts";
import type { PodWorker } from "./pod-worker.ts";

/** A {@link PodWorker}, as far as it is one of many. */
export type Worker = Pick<PodWorker, "pod" | "isGone" | "run" | "update" | "detach">;

export interface PodWorkersOptions<W extends Worker> {
  readonly client: Pick<KubeClient, "get">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly records: Pick<InstanceRecords, "read">;
  /** What an earlier process left. */
  readonly earlier: readonly InstanceRecord[];
  readonly make: (pod: Pod, record: InstanceRecord | undefined) => W;
}

interface Entry<W> {
  worker: W;
  /** Never rejects. */
  done: Promise<void>;
}

const workerBackoff = { initialMs: 1000, maxMs: 60_000 } as const;
const askBackoff = { initialMs: 100, maxMs: 5000 } as const;

/**
 * The workers of one node's pods, one each, from when the pod is first seen until nothing is left of it.
 *
 * A pod's instance is taken down only when the API says with certainty that the pod is gone: by a watch event or a 404
 * for this very pod, never because a list came back without it.
 */
export class PodWorkers<W extends Worker> {
  readonly #options: PodWorkersOptions<W>;
  readonly #entries = new Map<string, Entry<W>>();
  /** Earlier records by pod UID: whoever sees the pod first, list or resume, takes it up with its record. */
  readonly #earlier: Map<string, InstanceRecord>;
  readonly #closing = new AbortController();

  constructor(options: PodWorkersOptions<W>) {
    this.#options = options;
    this.#earlier = new Map(options.earlier.map((record) => [record.podUID, record]));
  }

  all(): readonly W[] {
    return [...this.#entries.values()].map((one) => one.worker);
  }

  find(namespace: string, name: string): W | undefined {
    const isWanted = ({ metadata }: Pod): boolean => metadata.namespace === namespace && metadata.name === name;
    const found = this.all().filter((worker) => isWanted(worker.pod));
    // One of that name may still be on its way out when the next is there already.
    return found.find((worker) => !worker.isGone) ?? found[0];
  }

  /** Takes up the instances an earlier process left, before the first list, each with its pod read on its own. */
  async resume(): Promise<void> {
    await Promise.all(
      this.#options.earlier.map(async (record) => {
        const pod = await this.#read(record.namespace, record.name);
        if (this.#entries.has(record.podUID)) return;
        if (pod?.metadata.uid === record.podUID) this.#begin(pod);
        else this.#endOrphan(record);
      }),
    );
  }

  /** The pod was seen; undefined when a list or a watch came without it. */
  onChange(pod: Pod | undefined, previous: Pod | undefined): void {
    // The same name may be a new pod.
    if (previous !== undefined && pod?.metadata.uid !== previous.metadata.uid) void this.#confirmGone(previous);
    if (pod === undefined) return;
    const known = this.#entries.get(pod.metadata.uid ?? "");
    if (known === undefined) this.#begin(pod);
    else known.worker.update(pod);
  }

  /** Lets go of every pod; instances go on. No worker begins any more, and none runs when this resolves. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the node agent stops"));
    for (const worker of this.all()) worker.detach();
    await Promise.all([...this.#entries.values()].map((one) => one.done));
  }

  /** The pod of this record was removed for good while nobody watched. */
  #endOrphan(record: InstanceRecord): void {
    const containers = record.containers.map(({ name }) => ({ name, image: "" }));
    this.#begin({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: record.name, namespace: record.namespace, uid: record.podUID },
      spec: { containers: containers.length === 0 ? [{ name: "unknown" }] : containers },
    });
    this.#entries.get(record.podUID)?.worker.update(undefined);
  }

  /**
   * A pod that the copy no longer has was deleted, or a list came back without it: an instance is ended only when the
   * API says of this very pod that it is gone.
   */
  async #confirmGone(pod: Pod): Promise<void> {
    const { namespace, name, uid = "" } = pod.metadata;
    if (!this.#entries.has(uid)) return;
    try {
      const isGone = (await this.#read(namespace, name))?.metadata.uid !== uid;
      if (isGone) this.#entries.get(uid)?.worker.update(undefined);
      else this.#options.logger.warn({ pod: keyOf(pod) }, "a list came back without a pod that is still there");
    } catch (error) {
      if (!this.#closing.signal.aborted) throw error;
    }
  }

  /** Asks until the API answers. */
  async #read(namespace: string | undefined, name: string): Promise<Pod | undefined> {
    const { client, clock } = this.#options;
    const { signal } = this.#closing;
    const ask = async (): Promise<Pod | undefined> => {
      try {
        return await client.get(resources.pods, namespace, name, { signal });
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    };
    return await retry(ask, { clock, signal, ...askBackoff });
  }

  #begin(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    if (this.#entries.has(uid) || this.#closing.signal.aborted) return;
    const worker = this.#options.make(pod, this.#earlier.get(uid));
    const entry: Entry<W> = { worker, done: Promise.resolve() };
    this.#earlier.delete(uid);
    this.#entries.set(uid, entry);
    entry.done = this.#keepRunning(entry).finally(() => this.#entries.delete(uid));
  }

  /** A worker that fails for a reason nobody thought of is replaced by one that begins with the record. */
  async #keepRunning(entry: Entry<W>): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        if (failures > 0) await this.#replace(entry);
        if (!signal.aborted) await entry.worker.run();
        return;
      } catch (error) {
        const reason = describeError(error);
        logger.error({ pod: keyOf(entry.worker.pod), reason }, "the pod's worker failed; another takes its place");
      }
      await clock.sleep(backoffDelayMs(failures, workerBackoff), signal).catch(() => {});
    }
  }

  /** Throws when the record cannot be read now. */
  async #replace(entry: Entry<W>): Promise<void> {
    const { records, make } = this.#options;
    const record = await records.read(entry.worker.pod.metadata.uid ?? "");
    // Now: the one that failed may have been told news while the record was read.
    const { pod, isGone } = entry.worker;
    entry.worker = make(pod, record);
    if (isGone) entry.worker.update(undefined);
  }
}
