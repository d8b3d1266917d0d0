import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { conform, type JsonObject, maxStrictErrors } from "./conform.ts";
import { findBuiltInType } from "./schemas.ts";

const pod = findBuiltInType("v1", "Pod");
if (pod === undefined) throw new Error("no schema of Pod");
const fit = (value: unknown) => conform(pod, value);

describe("conform", () => {
  it("gives back the very object when all of it fits", () => {
    const object = {
      metadata: { name: "p", labels: { a: "1" }, creationTimestamp: "2026-01-02T03:04:05Z" },
      spec: { containers: [{ name: "c", ports: [{ containerPort: 80 }], resources: { limits: { cpu: "250m" } } }] },
    };
    assert.equal(fit(object).object, object);
  });

  it("copies only what it changes, and never changes what it is given", () => {
    const container = { name: "c" };
    const object = freeze({
      metadata: { name: "p", creationTimestamp: null },
      spec: { containers: [container] },
      x: 1,
    });
    const { object: fitted, unknownFields } = fit(object);
    assert.deepEqual(fitted, { metadata: { name: "p" }, spec: { containers: [{ name: "c" }] } });
    assert.equal(fitted["spec"], object["spec"]);
    assert.deepEqual(unknownFields, ["x"]);
  });

  it("puts quantities and times in canonical form", () => {
    const limits = { cpu: 0.5, memory: "1024Mi", "ephemeral-storage": "1000m" };
    const times = { creationTimestamp: "2026-01-01T01:00:00.5+02:00", deletionTimestamp: "2026-01-02T03:04:05Z" };
    const { object } = fit({ metadata: times, spec: { containers: [{ resources: { limits } }] } });
    assert.deepEqual(object, {
      metadata: { creationTimestamp: "2025-12-31T23:00:00Z", deletionTimestamp: "2026-01-02T03:04:05Z" },
      spec: { containers: [{ resources: { limits: { cpu: "500m", memory: "1Gi", "ephemeral-storage": "1" } } }] },
    });
  });

  it("refuses days that do not exist", () => {
    for (const day of ["2026-02-30", "2026-13-01", "2026-00-10", "2025-02-29"]) {
      const read = () => fit({ metadata: { creationTimestamp: `${day}T00:00:00Z` } });
      assert.throws(read, { name: "FieldValueError", message: /^parsing time/ }, day);
    }
    assert.doesNotThrow(() => fit({ metadata: { creationTimestamp: "2024-02-29T00:00:00Z" } }));
  });

  it("keeps a map's member of any name, and its prototype", () => {
    const labels = JSON.parse('{"__proto__":"a","constructor":"b","gone":null}') as JsonObject;
    const { object } = fit({ metadata: { labels } });
    const kept = (object["metadata"] as JsonObject)["labels"] as JsonObject;
    assert.deepEqual(Object.entries(kept), [
      ["__proto__", "a"],
      ["constructor", "b"],
      ["gone", ""],
    ]);
    assert.equal(Object.getPrototypeOf(kept), Object.prototype);
  });

  it("reports no more than a hundred unknown fields", () => {
    const object = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x${index}`, 1]));
    assert.equal(fit(object).unknownFields.length, maxStrictErrors);
  });
});

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object" && member !== null) freeze(member);
  return Object.freeze(value);
}
