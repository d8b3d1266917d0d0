import assert from "node:assert/strict";
import { test } from "node:test";
import { podNodeRequest, podSize, podVpcName, qosClassOf, sizeAnnotations } from "./pod-resources.ts";
import { vmOverhead } from "./sizing.ts";
import { containerWith, podWith } from "./testing/pods.ts";
import type { ResourceRequirements } from "./types/container.ts";
import type { Pod } from "./types/pod.ts";

function annotated(annotations: Readonly<Record<string, string>>): Pod {
  const pod = podWith();
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

test("the size written at create counts, else the one the spec gives", () => {
  const size = { cpuMilli: 2000, memoryMiB: 4096 };
  assert.deepEqual(podSize(annotated(sizeAnnotations(size))), size);
  assert.deepEqual(podSize(podWith()), { cpuMilli: 250, memoryMiB: 512 });
  for (const broken of ["", "lots", "-1m", "1e9m"]) {
    assert.deepEqual(podSize(annotated({ ...sizeAnnotations(size), "isopod.dev/size-cpu": broken })), {
      cpuMilli: 250,
      memoryMiB: 512,
    });
  }
  const huge = podWith({ containers: [containerWith({ resources: { limits: { cpu: "99" } } })] });
  assert.equal(podSize(huge), undefined);
});

test("a node gives a pod its size and the VM around it", () => {
  const size = { cpuMilli: 250, memoryMiB: 512 };
  const overhead = vmOverhead(size);
  assert.ok(overhead.memoryMiB > 0);
  assert.deepEqual(podNodeRequest(podWith()), {
    cpuMilli: 250 + overhead.cpuMilli,
    memoryMiB: 512 + overhead.memoryMiB,
  });
});

test("a pod is in the default VPC unless it names one", () => {
  assert.equal(podVpcName(podWith()), "default");
  assert.equal(podVpcName(annotated({ "isopod.dev/vpc": "blue" })), "blue");
});

test("the class of service follows requests and limits of every container", () => {
  const classOf = (...lists: readonly ResourceRequirements[]) => {
    const containers = lists.map((resources, index) => containerWith({ name: `c${index}`, resources }));
    return qosClassOf({ containers });
  };
  const equal = { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1000m", memory: "1024Mi" } };
  assert.equal(classOf({}), "BestEffort");
  assert.equal(classOf(equal), "Guaranteed");
  assert.equal(classOf(equal, {}), "Burstable");
  assert.equal(classOf({ limits: { cpu: "1" } }), "Burstable");
  assert.equal(classOf({ ...equal, requests: { cpu: "500m" } }), "Burstable");
  assert.equal(classOf({ requests: { "ephemeral-storage": "1Gi" } }), "BestEffort");
});
