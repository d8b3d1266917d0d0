import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "@isopod/api";
import { defaultScratchBytes, scratchBytes } from "./scratch-size.ts";
import { containerWith, podWith } from "./testing/pods.ts";

const mib = 1024 * 1024;
const limited = (size: string, fields: Partial<Container> = {}): Container =>
  containerWith({ resources: { limits: { "ephemeral-storage": size } }, ...fields });

test("without a limit the writable disk has the default size", () => {
  assert.equal(scratchBytes(podWith()), defaultScratchBytes);
  assert.equal(scratchBytes(podWith({ containers: [limited("0")] })), defaultScratchBytes);
});

test("limits are added up and rounded up", () => {
  assert.equal(scratchBytes(podWith({ containers: [limited("1Gi")] })), 1024 * mib);
  assert.equal(scratchBytes(podWith({ containers: [limited("1"), containerWith()] })), 64 * mib);
  assert.equal(scratchBytes(podWith({ containers: [limited("100Mi"), limited("100Mi")] })), 256 * mib);
});

test("init containers count with the largest of them, sidecars with all others", () => {
  const initContainers = [limited("64Mi", { restartPolicy: "Always" }), limited("512Mi")];
  assert.equal(scratchBytes(podWith({ initContainers, containers: [limited("64Mi")] })), 576 * mib);
  assert.equal(scratchBytes(podWith({ initContainers, containers: [limited("1Gi")] })), 1088 * mib);
});
