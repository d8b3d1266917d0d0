import { isConflict, isNotFound, type Node, type Pod, resources } from "@isopod/api";
import type { Clock, Logger } from "@isopod/base";
import { EventRecorder, type Informer, type KubeClient, pathOf, splitKey, WorkQueue } from "@isopod/client";
import { chooseNode } from "./choose-node.ts";
import { ClusterCache, isFinished } from "./cluster-cache.ts";

export const defaultSchedulerName = "default-scheduler";

export interface SchedulerOptions {
  readonly client: KubeClient;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly clock: Clock;
  readonly logger: Logger;
}

function needsNode(pod: Pod): boolean {
  return (
    (pod.spec.nodeName === undefined || pod.spec.nodeName === "") &&
    pod.metadata.deletionTimestamp === undefined &&
    (pod.spec.schedulerName ?? defaultSchedulerName) === defaultSchedulerName &&
    (pod.spec.schedulingGates ?? []).length === 0 &&
    !isFinished(pod)
  );
}

/**
 * Places pods: filter, score, bind. Pods that fit nowhere wait in `#unschedulable` and are tried again when a node
 * changes or a pod gives something back.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache = new ClusterCache();
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #unschedulable = new Set<string>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
    // One decision at a time: each must see the one before. Binding is what takes time, and does not wait for it.
    this.#queue = new WorkQueue({ name: "scheduler", clock: options.clock, logger: options.logger, concurrency: 1 });
    this.#events = new EventRecorder({ ...options, component: defaultSchedulerName });
  }

  /** Runs until the signal aborts; the informers are run by the caller. */
  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes } = this.#options;
    const stops = [
      nodes.onChange((key, node) => {
        this.#cache.setNode(key, node);
        this.#retryUnschedulable();
      }),
      pods.onChange((key, pod) => {
        this.#cache.setPod(key, pod);
        if (pod !== undefined && needsNode(pod)) this.#queue.add(key);
        else {
          this.#unschedulable.delete(key);
          if (pod === undefined || isFinished(pod)) this.#retryUnschedulable();
        }
      }),
    ];
    for (const node of nodes.values()) this.#cache.setNode(node.metadata.name ?? "", node);
    await Promise.all([nodes.ready, pods.ready]);
    for (const pod of pods.values()) {
      const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
      this.#cache.setPod(key, pod);
      if (needsNode(pod)) this.#queue.add(key);
    }
    await this.#queue.run(async (key) => await this.#schedule(key, signal), signal);
    for (const stop of stops) stop();
    await this.#events.flush();
  }

  #retryUnschedulable(): void {
    for (const key of this.#unschedulable) this.#queue.add(key);
    this.#unschedulable.clear();
  }

  async #schedule(key: string, signal: AbortSignal): Promise<void> {
    const pod = this.#options.pods.get(key);
    if (pod === undefined || !needsNode(pod)) return;
    const choice = chooseNode(pod, this.#cache.rooms());
    if (choice.nodeName === undefined) return await this.#tellUnschedulable(key, pod, choice.message, signal);
    this.#cache.assume(pod, choice.nodeName);
    void this.#bind(key, pod, choice.nodeName, signal);
  }

  async #bind(key: string, pod: Pod, nodeName: string, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#options;
    const { namespace, name } = splitKey(key);
    try {
      await client.transport.json("POST", pathOf(resources.pods, namespace, name, "binding"), {
        signal,
        body: {
          apiVersion: "v1",
          kind: "Binding",
          metadata: { name, namespace, uid: pod.metadata.uid },
          target: { apiVersion: "v1", kind: "Node", name: nodeName },
        },
      });
      this.#events.normal(pod, "Scheduled", `Successfully assigned ${key} to ${nodeName}`);
    } catch (error) {
      this.#cache.forget(key);
      // Gone, or bound by somebody else: the watch tells.
      if (isNotFound(error) || isConflict(error) || signal.aborted) return;
      logger.warn({ pod: key, node: nodeName, reason: String(error) }, "binding failed; trying again");
      this.#queue.addAfter(key, 1000);
    }
  }

  async #tellUnschedulable(key: string, pod: Pod, message: string, signal: AbortSignal): Promise<void> {
    this.#unschedulable.add(key);
    const known = pod.status?.conditions?.find((one) => one.type === "PodScheduled");
    if (known?.status === "False" && known.message === message) return;
    this.#events.warning(pod, "FailedScheduling", message);
    const condition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: new Date(this.#options.clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z"),
    };
    const { namespace, name } = splitKey(key);
    try {
      await this.#options.client.patch(
        resources.pods,
        namespace,
        name,
        { status: { conditions: [condition] } },
        { subresource: "status", type: "strategic", signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
