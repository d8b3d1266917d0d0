import assert from "node:assert/strict";
import { test } from "node:test";
import { podTemplateOf } from "./pod-template.ts";
import { podWith } from "./testing/pods.ts";

test("what a clone is made of is the pod, without its place, its size and its start", () => {
  const pod = podWith({ nodeName: "n1", hostname: "shop", nodeSelector: { disk: "fast" } });
  const annotations = {
    "isopod.dev/vpc": "blue",
    "example.com/team": "a",
    "isopod.dev/size-cpu": "250m",
    "isopod.dev/size-memory": "512Mi",
    "isopod.dev/address": "10.64.0.7",
    "isopod.dev/start-from": "cold",
    "isopod.dev/started-from": "cold",
    "isopod.dev/start-stages": "{}",
    "isopod.dev/paused": "true",
    "isopod.dev/snapshot": "older",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
  };
  const { nodeName: _nodeName, ...spec } = pod.spec;
  assert.deepEqual(podTemplateOf({ ...pod, metadata: { ...pod.metadata, labels: { app: "web" }, annotations } }), {
    metadata: { labels: { app: "web" }, annotations: { "isopod.dev/vpc": "blue", "example.com/team": "a" } },
    spec,
  });
  assert.deepEqual(podTemplateOf(pod), { metadata: {}, spec });
});
