import type { Container } from "../types/container.ts";
import type { Pod, PodSpec, PodStatus } from "../types/pod.ts";

/** A pod of one container, with what a test is about. */
export function podWith(spec: Partial<PodSpec> = {}, status?: PodStatus): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { containers: [containerWith()], ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

export function containerWith(fields: Partial<Container> = {}): Container {
  return { name: "main", image: "busybox:1.36", ...fields };
}
