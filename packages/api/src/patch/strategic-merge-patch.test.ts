import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { JsonObject } from "../schema/conform.ts";
import { isObject } from "../schema/conform.ts";
import type { FieldType } from "../schema/object-type.ts";
import { findBuiltInType } from "../schema/schemas.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const podType = findBuiltInType("v1", "Pod");
if (podType === undefined) throw new Error("no schema of Pod");
const type: FieldType = { kind: "object", goName: podType.goName, object: podType };

const apply = (current: JsonObject, patch: JsonObject): JsonObject => applyStrategicMergePatch(current, patch, type);

interface Vector {
  readonly current: JsonObject;
  readonly patch: JsonObject;
  readonly result?: JsonObject;
  readonly error?: string;
}

describe("applyStrategicMergePatch", () => {
  const text = readFileSync(new URL("testdata/strategic-merge.json", import.meta.url), "utf8");
  const vectors = JSON.parse(text) as readonly Vector[];

  it("agrees with k8s.io/apimachinery on random edits, applies and directives, order included", () => {
    assert.ok(vectors.length > 100);
    for (const [index, { current, patch, result, error }] of vectors.entries()) {
      if (error === undefined) assert.deepEqual(clean(apply(current, patch)), clean(result), `vector ${index}`);
      else assert.throws(() => apply(current, patch), { name: "PatchError" }, `vector ${index}: ${error}`);
    }
  });

  it("changes neither the object nor the patch", () => {
    for (const { current, patch, error } of vectors) {
      if (error !== undefined) continue;
      const before = JSON.stringify([current, patch]);
      apply(current, patch);
      assert.equal(JSON.stringify([current, patch]), before);
    }
  });

  it("gives the same when applied twice, where it deletes nothing", () => {
    for (const { current, patch, error } of vectors) {
      if (error !== undefined || JSON.stringify(patch).includes('"$')) continue;
      const once = clean(apply(current, patch)) as JsonObject;
      assert.deepEqual(clean(apply(once, patch)), once);
    }
  });

  it("refuses what has no meaning", () => {
    const current = { spec: { containers: [{ name: "a" }] }, metadata: { finalizers: ["x"] } };
    const refused: readonly (readonly [JsonObject, RegExp])[] = [
      [{ $patch: "explode" }, /unknown patch type/],
      [{ spec: { containers: [{ image: "x" }] } }, /does not contain declared merge key: name/],
      [{ spec: { containers: [{ name: "a", $patch: "merge" }] } }, /merging lists cannot yet be specified/],
      [{ spec: { containers: ["a"] } }, /element types are not identical/],
      [{ metadata: { finalizers: [["y"]] } }, /lists of lists/],
      [{ metadata: { "$deleteFromPrimitiveList/finalizers": "x" } }, /primitive list/],
      [{ metadata: { "$setElementOrder/finalizers": "x" } }, /setElementOrder/],
      [{ metadata: { "$setElementOrder/finalizers": ["x"], finalizers: ["y"] } }, /order in patch list/],
      [{ spec: { $retainKeys: ["volumes"], nodeName: "n" } }, /retainKeys/],
      [{ spec: { "$setElementOrder/nothing": [] } }, /unable to find api field/],
    ];
    for (const [patch, message] of refused) assert.throws(() => apply(current, patch), { name: "PatchError", message });
  });
});

/** Without directives (upstream leaves some in what it adds, for the decoder to drop) and nulls. */
function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((element) => !isMarked(element)).map(clean);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, member]) => member !== null && !key.startsWith("$") && !isMarked(member))
      .map(([key, member]) => [key, clean(member)]),
  );
}

function isMarked(value: unknown): boolean {
  return isObject(value) && Object.hasOwn(value, "$patch");
}
