import type { Container, Pod, PodSpec } from "@isopod/api";

/** A pod of one container bound to this node, with what a test is about. */
export function podWith(spec: Partial<PodSpec> = {}, metadata: Partial<Pod["metadata"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", uid: "11111111-2222-4333-8444-555555555555", ...metadata },
    spec: { containers: [containerWith()], nodeName: "node-1", ...spec },
  };
}

export function containerWith(fields: Partial<Container> = {}): Container {
  return { name: "main", image: "busybox:1.36", ...fields };
}
