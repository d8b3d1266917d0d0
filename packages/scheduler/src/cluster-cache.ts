import { type Node, type Pod, parseQuantity, podNodeRequest, quantityToBytes, quantityToMilli } from "@isopod/api";
import { keyOf } from "@isopod/client";

/** What a pod takes of a node, VM overhead included. */
export interface Demand {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

/** A node with what is left of it. Amounts are allocatable, that is: with the node's overcommit applied. */
export interface NodeRoom {
  readonly node: Node;
  readonly allocatable: Demand & { readonly pods: number };
  readonly used: Demand & { readonly pods: number };
}

/** A pod beyond the largest size fits nowhere; admission refuses it, unless it was written past it. */
export function demandOf(pod: Pod): Demand {
  const request = podNodeRequest(pod);
  if (request === undefined) return { cpuMilli: Number.POSITIVE_INFINITY, memoryBytes: Number.POSITIVE_INFINITY };
  return { cpuMilli: request.cpuMilli, memoryBytes: request.memoryMiB * 1024 * 1024 };
}

export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function allocatableOf(node: Node): NodeRoom["allocatable"] {
  const amounts = node.status?.allocatable ?? {};
  return {
    cpuMilli: quantityToMilli(parseQuantity(amounts["cpu"] ?? "0")),
    memoryBytes: quantityToBytes(parseQuantity(amounts["memory"] ?? "0")),
    pods: quantityToMilli(parseQuantity(amounts["pods"] ?? "0")) / 1000,
  };
}

/**
 * Nodes and what is bound to them, kept by deltas: a change of one pod touches one node.
 *
 * A pod is *assumed* on its node the moment it is chosen, so that the next decision sees it before the watch does.
 */
export class ClusterCache {
  readonly #nodes = new Map<string, Node>();
  readonly #allocatable = new Map<string, NodeRoom["allocatable"]>();
  readonly #used = new Map<string, { cpuMilli: number; memoryBytes: number; pods: number }>();
  readonly #placed = new Map<string, { readonly nodeName: string; readonly demand: Demand }>();

  setNode(name: string, node: Node | undefined): void {
    if (node === undefined) {
      this.#nodes.delete(name);
      this.#allocatable.delete(name);
    } else {
      this.#nodes.set(name, node);
      this.#allocatable.set(name, allocatableOf(node));
    }
  }

  /** Takes a pod's present state; `undefined` or finished frees what it held. */
  setPod(key: string, pod: Pod | undefined): void {
    const nodeName = pod?.spec.nodeName;
    if (pod === undefined || isFinished(pod)) return this.#free(key);
    // An assumption lasts until the watch shows the binding; an unbound pod says nothing new.
    if (nodeName === undefined || nodeName === "") return;
    this.#place(key, nodeName, demandOf(pod));
  }

  assume(pod: Pod, nodeName: string): void {
    this.#place(keyOf(pod), nodeName, demandOf(pod));
  }

  forget(key: string): void {
    this.#free(key);
  }

  /** True for a pod that is bound, or assumed to be. */
  isPlaced(key: string): boolean {
    return this.#placed.has(key);
  }

  *rooms(): IterableIterator<NodeRoom> {
    for (const [name, node] of this.#nodes) {
      yield {
        node,
        allocatable: this.#allocatable.get(name) ?? { cpuMilli: 0, memoryBytes: 0, pods: 0 },
        used: this.#used.get(name) ?? { cpuMilli: 0, memoryBytes: 0, pods: 0 },
      };
    }
  }

  #place(key: string, nodeName: string, demand: Demand): void {
    this.#free(key);
    const used = this.#used.get(nodeName) ?? { cpuMilli: 0, memoryBytes: 0, pods: 0 };
    used.cpuMilli += demand.cpuMilli;
    used.memoryBytes += demand.memoryBytes;
    used.pods += 1;
    this.#used.set(nodeName, used);
    this.#placed.set(key, { nodeName, demand });
  }

  #free(key: string): void {
    const placed = this.#placed.get(key);
    if (placed === undefined) return;
    this.#placed.delete(key);
    const used = this.#used.get(placed.nodeName);
    if (used === undefined) return;
    used.cpuMilli -= placed.demand.cpuMilli;
    used.memoryBytes -= placed.demand.memoryBytes;
    used.pods -= 1;
    if (used.pods === 0) this.#used.delete(placed.nodeName);
  }
}
