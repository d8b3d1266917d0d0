import { ApiError, isNotFound, type Node, type Pod, resources } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";
import { EventRecorder, type Informer, type KubeClient, keyOf, pathOf, splitKey, WorkQueue } from "@isopod/client";
import { chooseNode } from "./choose-node.ts";
import { ClusterCache, isFinished } from "./cluster-cache.ts";
import { hasNewRoom } from "./node-change.ts";

export const defaultSchedulerName = "default-scheduler";

export interface SchedulerOptions {
  readonly client: KubeClient;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly clock: Clock;
  readonly logger: Logger;
}

function isBound(pod: Pod): boolean {
  return pod.spec.nodeName !== undefined && pod.spec.nodeName !== "";
}

function needsNode(pod: Pod): boolean {
  return (
    !isBound(pod) &&
    pod.metadata.deletionTimestamp === undefined &&
    (pod.spec.schedulerName ?? defaultSchedulerName) === defaultSchedulerName &&
    (pod.spec.schedulingGates ?? []).length === 0 &&
    !isFinished(pod)
  );
}

/**
 * Places pods: filter, score, bind. Pods that fit nowhere wait in `#unschedulable` and are tried again when a node
 * changes or a pod gives something back.
 *
 * A chosen pod is assumed on its node until the API says otherwise: an answer that was lost may have been a yes.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache = new ClusterCache();
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #unschedulable = new Set<string>();
  readonly #bindings = new Set<Promise<void>>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
    // One decision at a time: each must see the one before. Binding is what takes time, and does not wait for it.
    this.#queue = new WorkQueue({ name: "scheduler", clock: options.clock, logger: options.logger, concurrency: 1 });
    this.#events = new EventRecorder({ ...options, component: defaultSchedulerName });
  }

  /** Runs until the signal aborts; the informers are run by the caller, under the same signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes } = this.#options;
    const stops = [
      nodes.onChange((key, node, previous) => {
        this.#cache.setNode(key, node);
        if (node !== undefined && hasNewRoom(node, previous)) this.#retryUnschedulable();
      }),
      pods.onChange((key, pod, previous) => {
        this.#cache.setPod(key, pod);
        if (pod !== undefined && needsNode(pod)) this.#queue.add(key);
        else this.#unschedulable.delete(key);
        const isOver = pod === undefined || isFinished(pod);
        if (isOver && previous !== undefined && isBound(previous) && !isFinished(previous)) this.#retryUnschedulable();
      }),
    ];
    for (const node of nodes.values()) this.#cache.setNode(keyOf(node), node);
    for (const pod of pods.values()) {
      this.#cache.setPod(keyOf(pod), pod);
      if (needsNode(pod)) this.#queue.add(keyOf(pod));
    }
    // Until both lists are complete, room that is taken would look free.
    await Promise.all([nodes.ready, pods.ready]);
    await this.#queue.run(async (key) => await this.#schedule(key, signal), signal);
    for (const stop of stops) stop();
    await Promise.all(this.#bindings);
    await this.#events.flush();
  }

  #retryUnschedulable(): void {
    // Emptied first: a key may be looked at, and be back in here, before `add` returns.
    const keys = [...this.#unschedulable];
    this.#unschedulable.clear();
    for (const key of keys) this.#queue.add(key);
  }

  async #schedule(key: string, signal: AbortSignal): Promise<void> {
    const pod = this.#options.pods.get(key);
    // Placed already: its binding is under way, or the watch has yet to show it.
    if (pod === undefined || !needsNode(pod) || this.#cache.isPlaced(key)) return;
    const choice = chooseNode(pod, this.#cache.rooms());
    if (choice.nodeName === undefined) return await this.#tellUnschedulable(key, pod, choice.message, signal);
    this.#unschedulable.delete(key);
    this.#cache.assume(pod, choice.nodeName);
    const binding = this.#bind(key, pod, choice.nodeName, signal).finally(() => this.#bindings.delete(binding));
    this.#bindings.add(binding);
  }

  /** Binds, again and again while nobody can say whether the pod is bound; then the assumption ends, or is the truth. */
  async #bind(key: string, pod: Pod, nodeName: string, signal: AbortSignal): Promise<void> {
    const { client, clock, logger } = this.#options;
    const { namespace, name } = splitKey(key);
    for (let attempt = 0; !signal.aborted; attempt++) {
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
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && error.status.code < 500) {
          return await this.#settle(key, pod, signal);
        }
        logger.warn({ pod: key, node: nodeName, reason: describeError(error) }, "binding failed; trying again");
      }
      await clock.sleep(backoffDelayMs(attempt, { initialMs: 50, maxMs: 5000 }), signal).catch(() => {});
    }
  }

  /** The API refused the binding: the pod is gone, or bound (by us, if an answer was lost), or to be placed anew. */
  async #settle(key: string, pod: Pod, signal: AbortSignal): Promise<void> {
    const { client, clock, pods } = this.#options;
    const { namespace, name } = splitKey(key);
    const isSame = (other: Pod | undefined): other is Pod => other?.metadata.uid === pod.metadata.uid;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const found = await client.get(resources.pods, namespace, name, { signal });
        // What the watch has taken away since must not come back by an older answer.
        if (!isSame(pods.get(key))) return;
        if (isSame(found) && isBound(found)) return this.#cache.setPod(key, found);
        this.#cache.forget(key);
        this.#queue.addAfter(key, 1000);
        return;
      } catch (error) {
        if (isNotFound(error)) {
          if (isSame(pods.get(key))) this.#cache.forget(key);
          return;
        }
      }
      await clock.sleep(backoffDelayMs(attempt, { initialMs: 50, maxMs: 5000 }), signal).catch(() => {});
    }
  }

  async #tellUnschedulable(key: string, pod: Pod, message: string, signal: AbortSignal): Promise<void> {
    this.#unschedulable.add(key);
    const known = pod.status?.conditions?.find((one) => one.type === "PodScheduled");
    if (known?.status === "False" && known.message === message) return;
    this.#events.warning(pod, "FailedScheduling", message);
    const now = new Date(this.#options.clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: known?.status === "False" ? (known.lastTransitionTime ?? now) : now,
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
