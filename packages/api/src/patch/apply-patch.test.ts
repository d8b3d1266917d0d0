import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiError } from "../status-error.ts";
import { applyPatch } from "./apply-patch.ts";
import { jsonPatchMediaType, mergePatchMediaType, strategicMergePatchMediaType } from "./media-types.ts";

const gvk = { apiVersion: "v1", kind: "Pod" };
const current = Object.freeze({
  ...gvk,
  metadata: Object.freeze({ name: "p", labels: Object.freeze({ a: "1" }) }),
  spec: Object.freeze({ containers: Object.freeze([Object.freeze({ name: "c", image: "x" })]) }),
});

const apply = (contentType: string, patch: unknown) =>
  applyPatch(contentType, current, Buffer.from(typeof patch === "string" ? patch : JSON.stringify(patch)), gvk);

describe("applyPatch", () => {
  it("applies each kind of patch", () => {
    const merged = apply(mergePatchMediaType, { metadata: { labels: { a: null, b: "2" } } }).object;
    assert.deepEqual(merged["metadata"], { name: "p", labels: { b: "2" } });
    const replaced = apply(jsonPatchMediaType, [{ op: "replace", path: "/metadata/labels/a", value: "3" }]).object;
    assert.deepEqual(replaced["metadata"], { name: "p", labels: { a: "3" } });
    const strategic = apply(`${strategicMergePatchMediaType}; charset=utf-8`, {
      spec: { containers: [{ name: "d", image: "y" }] },
    });
    assert.deepEqual(strategic.object["spec"], {
      containers: [
        { name: "d", image: "y" },
        { name: "c", image: "x" },
      ],
    });
  });

  it("reports unknown fields of the result and fields that come twice in the patch", () => {
    const { object, strictErrors } = apply(mergePatchMediaType, '{"spec":{"foo":1,"nodeName":"a","nodeName":"b"}}');
    assert.deepEqual(strictErrors, ['duplicate field "spec.nodeName"', 'unknown field "spec.foo"']);
    assert.deepEqual(object["spec"], { containers: [{ name: "c", image: "x" }], nodeName: "b" });
  });

  it("answers 415 to server-side apply and to strategic merge of other kinds than Kubernetes's own", () => {
    assert.throws(() => apply("application/apply-patch+yaml", {}), {
      code: "UnsupportedMediaType",
      message: /^server-side apply is not supported/,
    });
    const vpc = { apiVersion: "isopod.dev/v1alpha1", kind: "VPC" };
    const patch = () => applyPatch(strategicMergePatchMediaType, { ...vpc }, Buffer.from("{}"), vpc);
    assert.throws(patch, { code: "UnsupportedMediaType" });
  });

  it("answers 400 to a malformed patch and 422 to one that does not fit", () => {
    assert.throws(() => apply(mergePatchMediaType, "{"), { code: "BadRequest" });
    assert.throws(() => apply(mergePatchMediaType, "[]"), { code: "BadRequest" });
    assert.throws(() => apply(jsonPatchMediaType, {}), { code: "BadRequest" });
    assert.throws(() => apply(jsonPatchMediaType, [{ op: "remove", path: "/spec/nodeName" }]), { code: "Invalid" });
    assert.throws(() => apply(mergePatchMediaType, { spec: { nodeName: 5 } }), {
      code: "Invalid",
      message:
        /^Pod "p" is invalid: patch: Invalid value: .*cannot unmarshal number into Go struct field PodSpec.spec.nodeName/,
    });
    assert.throws(() => apply(jsonPatchMediaType, [{ op: "replace", path: "", value: [] }]), ApiError);
  });
});
