import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret } from "@isopod/api";
import { credentialsIn } from "./pod-inputs.ts";

function secretOf(config: unknown): Secret {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "pull" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(text).toString("base64") },
  };
}

const basic = (user: string, password: string): { auth: string } => ({
  auth: Buffer.from(`${user}:${password}`).toString("base64"),
});

test("credentials are those of the image's registry, passwords with colons whole", () => {
  const secret = secretOf({
    auths: {
      "registry.example:5000": basic("ann", "a:b:c"),
      "https://other.example/v2/": { username: "bob", password: "b" },
    },
  });
  assert.deepEqual(credentialsIn(secret, "registry.example:5000/team/app:1"), { username: "ann", password: "a:b:c" });
  assert.deepEqual(credentialsIn(secret, "other.example/app"), { username: "bob", password: "b" });
  assert.equal(credentialsIn(secret, "registry.example:5001/app"), undefined);
  // A name that merely begins alike is another registry.
  assert.equal(credentialsIn(secret, "other.example.evil/app"), undefined);
});

test("a key may name a path below the registry", () => {
  const secret = secretOf({ auths: { "registry.example/team": basic("ann", "x") } });
  assert.deepEqual(credentialsIn(secret, "registry.example/team/app:1"), { username: "ann", password: "x" });
  assert.equal(credentialsIn(secret, "registry.example/other/app:1"), undefined);
});

test("Docker Hub's key counts for names without a registry", () => {
  const secret = secretOf({ auths: { "https://index.docker.io/v1/": basic("ann", "x") } });
  for (const reference of ["busybox", "library/busybox:1", "docker.io/library/busybox"]) {
    assert.deepEqual(credentialsIn(secret, reference), { username: "ann", password: "x" }, reference);
  }
  assert.equal(credentialsIn(secret, "registry.example/busybox"), undefined);
  assert.equal(credentialsIn(secret, "localhost:5000/busybox"), undefined);
});

test("what is no docker configuration gives no credentials", () => {
  for (const config of [
    "{",
    "null",
    { auths: null },
    { auths: { "a.example": null } },
    { auths: { "a.example": {} } },
  ]) {
    assert.equal(credentialsIn(secretOf(config), "a.example/app"), undefined);
  }
  assert.equal(credentialsIn(undefined, "a.example/app"), undefined);
});
