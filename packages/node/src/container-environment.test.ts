import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "@isopod/api";
import { containerEnvironment, expandVariables, fieldValue } from "./container-environment.ts";
import { NodeError } from "./node-error.ts";
import { containerWith, podWith } from "./testing/pods.ts";
import { sourcesWith } from "./testing/sources.ts";

function environment(fields: Partial<Container>, sources = sourcesWith()): Record<string, string> {
  const container = containerWith(fields);
  return Object.fromEntries(containerEnvironment(podWith({ containers: [container] }), container, sources));
}

function isConfigError(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof NodeError, String(error));
    assert.equal(error.code, "CreateContainerConfigError");
    assert.match(error.message, pattern);
    assert.notEqual(error.remedy, undefined);
    return true;
  };
}

test("a known variable is put in, an unknown one stays, two dollars are one", () => {
  const known = new Map([["NAME", "isopod"]]);
  assert.equal(expandVariables("$(NAME) $(OTHER) $$(NAME) $NAME 5$", known), "isopod $(OTHER) $(NAME) $NAME 5$");
});

test("env comes after envFrom, later ones win, and each may use those before it", () => {
  const variables = environment(
    {
      envFrom: [{ configMapRef: { name: "a" } }, { prefix: "S_", secretRef: { name: "b" } }],
      env: [
        { name: "COLOR", value: "blue" },
        { name: "TEXT", value: "$(COLOR) and $(S_KEY), not $(LATER)" },
        { name: "LATER", value: "x" },
      ],
    },
    sourcesWith({ a: { COLOR: "red", SHAPE: "round" } }, { b: { KEY: "grün" } }),
  );
  assert.deepEqual(variables, {
    COLOR: "blue",
    SHAPE: "round",
    S_KEY: "grün",
    TEXT: "blue and grün, not $(LATER)",
    LATER: "x",
  });
});

test("a missing config map, secret or key is named, unless the reference is optional", () => {
  const missing = sourcesWith({ present: {} }, { present: {} });
  const cases: readonly (readonly [Partial<Container>, RegExp])[] = [
    [{ envFrom: [{ configMapRef: { name: "gone" } }] }, /configmap "gone" not found in namespace shop/],
    [{ envFrom: [{ secretRef: { name: "gone" } }] }, /secret "gone" not found in namespace shop/],
    [
      { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "present", key: "k" } } }] },
      /couldn't find key k in ConfigMap shop\/present/,
    ],
    [
      { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "present", key: "k" } } }] },
      /couldn't find key k in Secret shop\/present/,
    ],
  ];
  for (const [fields, pattern] of cases) assert.throws(() => environment(fields, missing), isConfigError(pattern));
  const optional = environment(
    {
      envFrom: [{ configMapRef: { name: "gone", optional: true } }, { secretRef: { name: "gone", optional: true } }],
      env: [
        { name: "A", valueFrom: { configMapKeyRef: { name: "gone", key: "k", optional: true } } },
        { name: "B", valueFrom: { secretKeyRef: { name: "gone", key: "k", optional: true } } },
        { name: "C", value: "c" },
      ],
    },
    missing,
  );
  assert.deepEqual(optional, { C: "c" });
});

test("the downward API gives the pod's own facts and refuses other paths", () => {
  const pod = podWith({ serviceAccountName: "robot" }, { labels: { app: "shop" }, annotations: { "a/b": "note" } });
  const value = (path: string): string => fieldValue(pod, path, sourcesWith());
  assert.equal(value("metadata.name"), "web");
  assert.equal(value("metadata.namespace"), "shop");
  assert.equal(value("metadata.uid"), "11111111-2222-4333-8444-555555555555");
  assert.equal(value("metadata.labels['app']"), "shop");
  assert.equal(value("metadata.annotations['a/b']"), "note");
  assert.equal(value("metadata.labels['none']"), "");
  assert.equal(value("spec.nodeName"), "node-1");
  assert.equal(value("spec.serviceAccountName"), "robot");
  assert.equal(value("status.podIP"), "10.64.0.7");
  assert.equal(value("status.hostIP"), "192.0.2.1");
  assert.throws(() => value("spec.containers[0].image"), isConfigError(/spec\.containers\[0\]\.image/));
});

test("resource fields are rounded up by their divisor; without a limit they are the size sold", () => {
  const field = (resource: string, divisor?: string, resources: Container["resources"] = {}): string | undefined =>
    environment({
      resources,
      env: [
        { name: "V", valueFrom: { resourceFieldRef: { resource, ...(divisor === undefined ? {} : { divisor }) } } },
      ],
    })["V"];
  assert.equal(field("limits.cpu", "1m", { limits: { cpu: "1500m" } }), "1500");
  assert.equal(field("limits.cpu", undefined, { limits: { cpu: "1500m" } }), "2");
  // Kubernetes writes the default divisor as 0.
  assert.equal(field("limits.cpu", "0", { limits: { cpu: "1500m" } }), "2");
  assert.equal(field("requests.memory", "1Mi", { limits: { memory: "65537Ki" } }), "65");
  assert.equal(field("limits.memory", "0"), String(512 * 1024 * 1024));
  assert.equal(field("limits.cpu", "1m"), "250");
  assert.throws(() => field("limits.gpu"), isConfigError(/limits\.gpu/));
});
