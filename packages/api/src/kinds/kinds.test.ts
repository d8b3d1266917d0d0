import assert from "node:assert/strict";
import { test } from "node:test";
import { findKind, findResource, resourceDefinitions } from "./index.ts";
import { describeSubresource } from "./subresources.ts";

test("every kind is found by its path and by its own name", () => {
  for (const definition of resourceDefinitions) {
    const { group, version, plural, kind } = definition;
    assert.equal(findResource(group, version, plural), definition);
    assert.equal(findKind(group === "" ? version : `${group}/${version}`, kind), definition);
  }
  assert.equal(findResource("", "v1", "toasters"), undefined);
  assert.equal(findKind("v2", "Pod"), undefined);
});

test("no two kinds share a name that kubectl would take for either", () => {
  const names = resourceDefinitions.flatMap((d) => [...new Set([d.plural, d.singular, ...d.shortNames])]);
  assert.equal(new Set(names).size, names.length);
});

test("a kind has a status subresource exactly when it has a status", () => {
  for (const definition of resourceDefinitions) {
    assert.equal(definition.subresources.includes("status"), definition.hasStatus, definition.plural);
  }
});

test("kubectl drain finds evictions where it looks for them", () => {
  const pods = findResource("", "v1", "pods");
  assert.ok(pods !== undefined && pods.subresources.includes("eviction"));
  const eviction = describeSubresource(pods, "eviction");
  assert.deepEqual(eviction, { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] });
  assert.deepEqual(describeSubresource(pods, "status").verbs, ["get", "patch", "update"]);
});

test("our own kinds ask for a version on every update, as custom resources do", () => {
  for (const definition of resourceDefinitions.filter((d) => !d.builtIn)) {
    assert.equal(definition.unconditionalUpdate, false);
    assert.equal(definition.hasGeneration, true);
  }
});
