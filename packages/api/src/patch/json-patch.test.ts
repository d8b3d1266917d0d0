import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createPatch } from "rfc6902";
import type { JsonObject } from "../schema/conform.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { PatchError } from "./patch-error.ts";

const names = fc.constantFrom("a", "b", "c", "x/y", "m~n", "0");
const objects = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.string(), fc.boolean(), tie("list"), tie("object")),
  list: fc.array(tie("value"), { maxLength: 3 }),
  object: fc.dictionary(names, tie("value"), { maxKeys: 4 }),
})).object as fc.Arbitrary<JsonObject>;

describe("applyJsonPatch", () => {
  it("turns any object into any other by the difference of both", () => {
    fc.assert(
      fc.property(objects, objects, (from, to) => {
        const before = JSON.stringify(from);
        assert.deepEqual(plain(applyJsonPatch(from, createPatch(from, to))), plain(to));
        assert.equal(JSON.stringify(from), before);
      }),
    );
  });

  it("applies all operations or none", () => {
    const object = { a: 1 };
    const patch = [
      { op: "add", path: "/b", value: 2 },
      { op: "test", path: "/a", value: 2 },
    ];
    assert.throws(() => applyJsonPatch(object, patch), {
      code: "CannotApply",
      message: /operation 1 \(test \/a\) failed/,
    });
    assert.deepEqual(object, { a: 1 });
  });

  it("reaches nothing but members of the object itself", () => {
    const paths = ["/__proto__/x", "/constructor/prototype/x", "/toString/x", "/a/__proto__", "/list/push/x", "/a/b"];
    for (const path of paths) {
      assert.throws(() => applyJsonPatch({ a: 1, list: [] }, [{ op: "add", path, value: 1 }]), PatchError, path);
    }
    assert.throws(() => applyJsonPatch({ a: 1 }, [{ op: "copy", from: "/valueOf", path: "/b" }]), PatchError);
    assert.equal(Reflect.get(Object.prototype.toString, "x"), undefined);
  });

  it("bounds operations and what copies bring", () => {
    const many = Array.from({ length: 10_001 }, () => ({ op: "test", path: "/a", value: 1 }));
    assert.throws(() => applyJsonPatch({ a: 1 }, many), { code: "BadPatch" });
    const doubling = Array.from({ length: 40 }, (_, index) => ({ op: "copy", from: "/a", path: `/a/x${index}` }));
    assert.throws(() => applyJsonPatch({ a: { s: "s".repeat(1000) } }, doubling), {
      code: "CannotApply",
      message: /3 MiB/,
    });
  });

  it("refuses a move into itself, unknown operations, missing values and paths that are none", () => {
    const refused = [
      [{ op: "move", from: "/a", path: "/a/b" }],
      [{ op: "merge", path: "/a" }],
      [{ op: "add", path: "/a" }],
      [{ op: "add", path: "a", value: 1 }],
      [{ op: "add", value: 1 }],
      [{ op: "copy", path: "/b" }],
      [null],
    ];
    for (const patch of refused)
      assert.throws(() => applyJsonPatch({ a: {} }, patch), PatchError, JSON.stringify(patch));
  });
});

describe("applyMergePatch", () => {
  it("keeps what it does not name and is the same when applied twice", () => {
    fc.assert(
      fc.property(objects, objects, (current, patch) => {
        const once = applyMergePatch(current, patch);
        assert.deepEqual(applyMergePatch(once, patch), once);
        for (const key of Object.keys(current)) if (!Object.hasOwn(patch, key)) assert.equal(once[key], current[key]);
      }),
    );
  });

  it("follows the examples of RFC 7396", () => {
    const examples: readonly (readonly [JsonObject, JsonObject, JsonObject])[] = [
      [{ a: "b" }, { a: "c" }, { a: "c" }],
      [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
      [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
      [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [current, patch, result] of examples) assert.deepEqual(applyMergePatch(current, patch), result);
  });

  it("does not touch prototypes", () => {
    const patched = applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":true},"toString":{"x":1}}') as JsonObject);
    assert.equal(Reflect.get({}, "polluted"), undefined);
    assert.equal(Object.getPrototypeOf(patched), Object.prototype);
    assert.deepEqual(Object.keys(patched), ["__proto__", "toString"]);
  });
});

/** Dictionaries of the generator have no prototype; what JSON gives has one. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
