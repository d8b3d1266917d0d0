import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resources } from "@isopod/api";
import { decodeObject, encodeObject, objectPieces } from "./object-json.ts";

const pod = {
  metadata: { resourceVersion: "77", name: 'é"x', labels: { a: "b" } },
  kind: "Pod",
  spec: { containers: [] },
  apiVersion: "v1",
};

describe("stored objects", () => {
  it("come back with the revision they were written at", () => {
    const stored = encodeObject(resources.pods, pod);
    assert.ok(!stored.includes("resourceVersion"));
    assert.deepEqual(decodeObject(stored, 5), { ...pod, metadata: { ...pod.metadata, resourceVersion: "5" } });
  });

  it("are spliced into the same JSON without being parsed", () => {
    const stored = encodeObject(resources.pods, pod);
    const spliced = Buffer.concat([...objectPieces(resources.pods, stored, 5)]).toString();
    assert.deepEqual(JSON.parse(spliced), decodeObject(stored, 5));
  });
});
