import type { Node, Pod, PodSpec } from "@isopod/api";
import type { NodeRoom } from "../cluster-cache.ts";

export function readyNode(
  name: string,
  allocatable: Readonly<Record<string, string>> = {},
  over: Partial<Node> = {},
): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name } },
    spec: {},
    status: {
      allocatable: { cpu: "4", memory: "4Gi", pods: "10", ...allocatable },
      conditions: [{ type: "Ready", status: "True" }],
    },
    ...over,
  };
}

/** A pod of the smallest size that holds the amounts. */
export function podOf(name: string, cpu: string, memory: string, spec: Partial<PodSpec> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      containers: [{ name: "c", image: "busybox", resources: { limits: { cpu, memory } } }],
      ...spec,
    },
  };
}

export function roomOn(node: Node, used: Partial<NodeRoom["used"]> = {}): NodeRoom {
  return {
    node,
    allocatable: { cpuMilli: 4000, memoryBytes: 4 * 1024 ** 3, pods: 10 },
    used: { cpuMilli: 0, memoryBytes: 0, pods: 0, ...used },
  };
}
