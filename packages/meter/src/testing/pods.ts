import { isopodApiVersion, type Pod, resources, type UsageSegment } from "@isopod/api";
import type { TestApi } from "@isopod/client/testing";

export async function addPod(api: TestApi, name: string, nodeName?: string): Promise<Pod> {
  return await api.client.create(resources.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [{ name: "c", image: "busybox" }], ...(nodeName === undefined ? {} : { nodeName }) },
  });
}

/** As the node agent opens a segment. */
export async function openSegment(
  api: TestApi,
  pod: Pod,
  startMicros: number,
  index = 0,
  over: Partial<UsageSegment["spec"]> = {},
): Promise<string> {
  const uid = pod.metadata.uid ?? "";
  const name = `${uid}-${index}`;
  await api.client.create(resources.usagesegments, {
    apiVersion: isopodApiVersion,
    kind: "UsageSegment",
    metadata: { name, namespace: "default", labels: { "isopod.dev/pod-uid": uid } },
    spec: {
      podName: pod.metadata.name,
      podUID: uid,
      nodeName: "n1",
      cpuMilli: 250,
      memoryMiB: 512,
      state: "Running",
      startMicros,
      podLabels: { app: pod.metadata.name },
      ...over,
    },
  });
  return name;
}

export async function closeSegment(api: TestApi, name: string, endMicros: number): Promise<void> {
  const end = { spec: { endMicros, endCause: "Completed" } };
  await api.client.patch(resources.usagesegments, "default", name, end);
}

export async function deletePod(api: TestApi, name: string, gracePeriodSeconds: number): Promise<void> {
  await api.client.delete(resources.pods, "default", name, { body: { gracePeriodSeconds } });
}

export async function renewLease(api: TestApi, nodeName: string, atMs: number): Promise<void> {
  await api.client.create(resources.leases, {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: nodeName, namespace: "kube-node-lease" },
    spec: { holderIdentity: nodeName, renewTime: new Date(atMs).toISOString().replace("Z", "000Z") },
  });
}
