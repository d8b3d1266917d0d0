import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkFieldSelector, matchesFields, parseFieldSelector, requiredFieldValue } from "./field-selector.ts";
import { resources } from "./kinds/index.ts";
import { isReasonIn } from "./testing/causes.ts";
import type { Pod } from "./types/pod.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop" },
  spec: { containers: [], nodeName: "n1" },
  status: { phase: "Running" },
};

test("a field selector compares fields as text", () => {
  const picks = (text: string) => matchesFields(resources.pods, parseFieldSelector(text), pod);
  assert.equal(picks("spec.nodeName=n1"), true);
  assert.equal(picks("spec.nodeName==n1,status.phase!=Failed,metadata.namespace=shop"), true);
  assert.equal(picks("spec.nodeName=n2"), false);
  assert.equal(picks("spec.hostNetwork=false"), true);
  assert.equal(picks("status.podIP="), true);
  assert.equal(picks(""), true);
});

test("a kind says which fields it can be selected by", () => {
  const bad = () => checkFieldSelector(resources.pods, parseFieldSelector("spec.image=x"));
  assert.throws(bad, isReasonIn("BadRequest", /^field label not supported: spec.image$/));
  checkFieldSelector(resources.vpcs, parseFieldSelector("metadata.name=x"));
  const namespaceOfClusterKind = () => checkFieldSelector(resources.vpcs, parseFieldSelector("metadata.namespace=x"));
  assert.throws(namespaceOfClusterKind, isReasonIn("BadRequest", /is not a known field selector/));
});

test("a term without an operator or with a bad escape is a bad request", () => {
  assert.throws(
    () => parseFieldSelector("web"),
    isReasonIn("BadRequest", /invalid selector: 'web'; can't understand 'web'/),
  );
  assert.throws(() => parseFieldSelector("a=b\\x"), isReasonIn("BadRequest", /invalid escape sequence: \\x/));
  assert.throws(() => parseFieldSelector("a=b=c"), isReasonIn("BadRequest", /unescaped character in value: 61/));
});

test("a value with commas, signs and backslashes survives escaping", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const escaped = value.replaceAll(/[\\,=]/g, String.raw`\$&`);
      assert.equal(requiredFieldValue(parseFieldSelector(`metadata.name=${escaped},type!=x`), "metadata.name"), value);
    }),
  );
});
