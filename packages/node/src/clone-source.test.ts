import assert from "node:assert/strict";
import { test } from "node:test";
import { podTemplateOf } from "@isopod/api";
import { differenceOf } from "./clone-source.ts";
import { containerWith, podWith } from "./testing/pods.ts";

const container = containerWith({ command: ["sh", "-c", "serve"], env: [{ name: "A", value: "1" }] });
const original = podWith({ containers: [container], volumes: [{ name: "data", emptyDir: {} }] });
const record = { podTemplate: podTemplateOf(original) };

test("a clone may differ in name, labels, place and what becomes of it at its end", () => {
  const clone = podWith(
    { ...original.spec, nodeName: "node-2", nodeSelector: { a: "b" }, restartPolicy: "Never", hostname: "other" },
    { name: "clone", labels: { app: "clone" } },
  );
  assert.equal(differenceOf(clone, record), undefined);
});

test("a pod that says something else of what runs is told which field", () => {
  const differing = (spec: Parameters<typeof podWith>[0]) =>
    differenceOf(podWith({ ...original.spec, ...spec }), record);
  assert.equal(differing({ containers: [{ ...container, image: "busybox:2" }] }), "spec.containers[0].image");
  assert.equal(differing({ containers: [{ ...container, command: ["sh"] }] }), "spec.containers[0].command[1]");
  assert.equal(differing({ containers: [container, containerWith({ name: "more" })] }), "spec.containers[1]");
  assert.equal(differing({ containers: [{ ...container, env: [] }] }), "spec.containers[0].env[0]");
  assert.equal(differing({ volumes: [] }), "spec.volumes[0]");
  assert.equal(differing({ initContainers: [containerWith({ name: "setup" })] }), "spec.initContainers[0]");
});
