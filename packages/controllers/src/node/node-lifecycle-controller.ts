import { isConflict, isNotFound, type Lease, type Node, type NodeCondition, resources } from "@isopod/api";
import { describeError } from "@isopod/base";
import { EventRecorder, Informer } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";

/** As kube-controller-manager's node-monitor-grace-period. */
const graceMs = 40_000;
const roundMs = 5000;

/** Marks the nodes whose agent has fallen silent: every condition becomes Unknown, so nothing new is placed there. */
export class NodeLifecycleController implements Controller {
  readonly name = "node-lifecycle";
  readonly #options: ControllerOptions;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #events: EventRecorder;
  /** When each lease was last seen to change, by this process's own clock: the nodes' clocks may differ. */
  readonly #seen = new Map<string, { readonly renewTime: string; readonly atMs: number }>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#nodes = new Informer(resources.nodes, options);
    this.#leases = new Informer(resources.leases, { ...options, namespace: "kube-node-lease" });
    this.#events = new EventRecorder({ ...options, component: "node-controller" });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    this.#nodes.onChange((name, node) => {
      if (node === undefined) this.#seen.delete(name);
    });
    const informers = [this.#nodes.run(signal), this.#leases.run(signal)];
    while (!signal.aborted) {
      await clock.sleep(roundMs, signal).catch(() => {});
      if (signal.aborted) break;
      for (const node of this.#nodes.values()) {
        try {
          await this.#check(node, signal);
        } catch (error) {
          if (!isNotFound(error) && !isConflict(error)) {
            logger.warn(
              { node: node.metadata.name, reason: describeError(error) },
              "a silent node could not be marked",
            );
          }
        }
      }
    }
    await Promise.all(informers);
    await this.#events.flush();
  }

  async #check(node: Node, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options;
    const { name, resourceVersion } = node.metadata;
    const now = clock.monotonicMs();
    const renewTime = this.#leases.get(`kube-node-lease/${name}`)?.spec?.renewTime ?? "";
    const seen = this.#seen.get(name);
    if (seen === undefined || seen.renewTime !== renewTime) {
      this.#seen.set(name, { renewTime, atMs: now });
      return;
    }
    const isSilent = now - seen.atMs > graceMs;
    const ready = node.status?.conditions?.find((one) => one.type === "Ready");
    if (!isSilent || ready === undefined || ready.status === "Unknown") return;
    const at = `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`;
    const conditions = (node.status?.conditions ?? []).map(
      (one): NodeCondition => ({
        ...one,
        status: "Unknown",
        reason: "NodeStatusUnknown",
        message: "The node agent stopped posting node status.",
        lastTransitionTime: at,
      }),
    );
    // Conditional: what the agent has told meanwhile is newer than our judgement.
    const patch = { metadata: { resourceVersion }, status: { conditions } };
    await client.patch(resources.nodes, undefined, name, patch, { subresource: "status", signal });
    this.#events.normal(node, "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
  }
}
