import assert from "node:assert/strict";
import { test } from "node:test";
import { applyDefaults } from "../defaulting/index.ts";
import { resourceDefinitions, resources } from "../kinds/index.ts";
import type { ResourceDefinition } from "../kinds/definition.ts";
import { causeTexts } from "../testing/causes.ts";
import type { KubeObject, ObjectMeta } from "../types/meta.ts";
import { validate } from "./index.ts";

type Fields = Readonly<Record<string, unknown>>;

function objectOf(definition: ResourceDefinition, fields: Fields, metadata: Partial<ObjectMeta> = {}): KubeObject {
  const namespace = definition.namespaced ? { namespace: "shop" } : {};
  const object = {
    apiVersion: "x",
    kind: definition.kind,
    metadata: { name: "x", ...namespace, ...metadata },
    ...fields,
  };
  return applyDefaults(definition, object);
}

function problemsOf(
  definition: ResourceDefinition,
  fields: Fields,
  old?: Fields,
  metadata?: Partial<ObjectMeta>,
): readonly string[] {
  const before = old === undefined ? undefined : objectOf(definition, old, metadata);
  return causeTexts(validate(definition, objectOf(definition, fields, metadata), before));
}

const metadataProblems = (metadata: Partial<ObjectMeta>) => problemsOf(resources.configmaps, {}, undefined, metadata);

test("metadata is checked in kube-apiserver's words", () => {
  assert.deepEqual(metadataProblems({}), []);
  assert.deepEqual(metadataProblems({ name: "" }), ["metadata.name: Required value: name or generateName is required"]);
  assert.match(
    metadataProblems({ name: "No" }).join(),
    /^metadata\.name: Invalid value: "No": a lowercase RFC 1123 subdomain must/,
  );
  assert.match(
    metadataProblems({ labels: { "a b": "c" } }).join(),
    /^metadata\.labels: Invalid value: "a b": name part must/,
  );
  assert.match(
    metadataProblems({ labels: { a: "b c" } }).join(),
    /^metadata\.labels: Invalid value: "b c": a valid label must/,
  );
  assert.deepEqual(metadataProblems({ annotations: { "example.com/Big": "x y" } }), []);
  assert.deepEqual(metadataProblems({ annotations: { a: "x".repeat(262_144) } }), [
    "metadata.annotations: Too long: may not be more than 262144 bytes",
  ]);
  assert.match(metadataProblems({ finalizers: ["a b"] }).join(), /^metadata\.finalizers: Invalid value: "a b"/);
  const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: "" };
  assert.deepEqual(metadataProblems({ ownerReferences: [owner] }), [
    'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
  ]);
  const controller = { ...owner, uid: "u", controller: true };
  assert.match(
    metadataProblems({ ownerReferences: [controller, controller] }).join(),
    /Only one reference can have Controller/,
  );
});

test("cluster-scoped objects have no namespace, the others have one", () => {
  assert.deepEqual(problemsOf(resources.vpcs, { spec: { cidr: "10.0.0.0/16" } }, undefined, { namespace: "shop" }), [
    "metadata.namespace: Forbidden: not allowed on this type",
  ]);
  assert.deepEqual(metadataProblems({ namespace: "" }), ["metadata.namespace: Required value"]);
});

test("identity stays, and a dying object takes no new finalizers", () => {
  const before = objectOf(
    resources.configmaps,
    {},
    { uid: "1", deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["a/b"] },
  );
  const reborn = { ...before, metadata: { ...before.metadata, uid: "2" } };
  assert.deepEqual(causeTexts(validate(resources.configmaps, reborn, before)), [
    'metadata.uid: Invalid value: "2": field is immutable',
  ]);
  const held = { ...before, metadata: { ...before.metadata, finalizers: ["a/b", "c/d"] } };
  assert.deepEqual(causeTexts(validate(resources.configmaps, held, before)), [
    'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d"}',
  ]);
  const freed = { ...before, metadata: { ...before.metadata, finalizers: [] } };
  assert.deepEqual(validate(resources.configmaps, freed, before), []);
});

test("config maps and secrets have file names as keys, a bound, and stay when immutable", () => {
  const { configmaps, secrets } = resources;
  assert.deepEqual(problemsOf(configmaps, { data: { a: "1" }, binaryData: { a: "MQ==" } }), [
    'data[a]: Invalid value: "a": duplicate of key present in binaryData',
  ]);
  assert.match(
    problemsOf(configmaps, { data: { "a/b": "" } }).join(),
    /^data\[a\/b\]: Invalid value: "a\/b": a valid config key/,
  );
  const large = Buffer.alloc(1024 * 1024 + 1).toString("base64");
  assert.deepEqual(problemsOf(secrets, { data: { a: large } }), ["data: Too long: may not be more than 1048576 bytes"]);
  const fixed = { immutable: true, data: { a: "1" } };
  assert.deepEqual(problemsOf(configmaps, fixed, fixed), []);
  assert.deepEqual(problemsOf(configmaps, { immutable: true, data: { a: "2" } }, fixed), [
    "data: Forbidden: field is immutable when `immutable` is set",
  ]);
  assert.deepEqual(problemsOf(secrets, { type: "a" }, { type: "b" }), ['type: Invalid value: "a": field is immutable']);
});

test("a typed secret has the keys its type promises, and errors never show its content", () => {
  const { secrets } = resources;
  assert.deepEqual(problemsOf(secrets, { type: "kubernetes.io/tls", data: { "tls.crt": "" } }), [
    "data[tls.key]: Required value",
  ]);
  const bad = Buffer.from("password").toString("base64");
  const causes = problemsOf(secrets, { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": bad } });
  assert.deepEqual(causes, [
    'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be a JSON object',
  ]);
  const good = Buffer.from('{"auths":{}}').toString("base64");
  assert.deepEqual(
    problemsOf(secrets, { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": good } }),
    [],
  );
});

test("nodes, events, leases and service accounts are checked where it matters", () => {
  const { nodes, events, leases, serviceaccounts } = resources;
  const taint = { key: "a", effect: "NoSchedule" };
  assert.deepEqual(problemsOf(nodes, { spec: { taints: [taint] }, status: { capacity: { cpu: "2" } } }), []);
  assert.deepEqual(problemsOf(nodes, { spec: { taints: [taint, taint] } }), [
    'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}',
  ]);
  assert.match(
    problemsOf(nodes, { spec: { taints: [{ key: "a", effect: "Never" }] } }).join(),
    /Unsupported value: "Never"/,
  );
  assert.match(
    problemsOf(nodes, { status: { capacity: { cpu: "two" } } }).join(),
    /^status\.capacity\[cpu\]: Invalid value: "two"/,
  );
  assert.deepEqual(problemsOf(events, { involvedObject: { namespace: "other" } }), [
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
  assert.deepEqual(problemsOf(events, { involvedObject: { namespace: "shop" } }), []);
  assert.match(problemsOf(leases, { spec: { leaseDurationSeconds: 0 } }).join(), /must be greater than 0/);
  assert.deepEqual(problemsOf(serviceaccounts, { imagePullSecrets: [{}] }), [
    "imagePullSecrets[0].name: Required value",
  ]);
});

test("a VPC has a network of sensible size, for good", () => {
  const { vpcs } = resources;
  const spec = (cidr?: string) => ({ spec: { cidr } });
  assert.deepEqual(problemsOf(vpcs, spec("10.64.0.0/16")), []);
  assert.deepEqual(problemsOf(vpcs, spec()), ["spec.cidr: Required value"]);
  for (const cidr of ["10.0.0.0", "10.0.0.0/33", "10.0.0/16", "fd00::/64", "10.0.0.0/16/8", "10.0.0.0/x"]) {
    assert.match(problemsOf(vpcs, spec(cidr)).join(), /must be an IPv4 network/, cidr);
  }
  assert.match(problemsOf(vpcs, spec("10.64.0.1/16")).join(), /no bits set beyond the prefix/);
  assert.match(problemsOf(vpcs, spec("10.64.0.0/29")).join(), /prefix must be from \/8 to \/28/);
  assert.deepEqual(problemsOf(vpcs, spec("10.65.0.0/16"), spec("10.64.0.0/16")), [
    'spec.cidr: Invalid value: "10.65.0.0/16": field is immutable',
  ]);
  assert.deepEqual(problemsOf(vpcs, { spec: { cidr: "10.64.0.0/16", nat: true } }, spec("10.64.0.0/16")), []);
});

test("an interface and its address claim are complete, agree on the name, and stay", () => {
  const { networkinterfaces, addressclaims } = resources;
  const eni = { vpc: "default", address: "10.64.0.7", macAddress: "02:00:0a:40:00:07", podName: "web", podUID: "u" };
  assert.deepEqual(problemsOf(networkinterfaces, { spec: eni }), []);
  assert.match(problemsOf(networkinterfaces, { spec: { ...eni, macAddress: "x" } }).join(), /six lower case bytes/);
  assert.match(
    problemsOf(networkinterfaces, { spec: { ...eni, address: "10.64.0.8" } }, { spec: eni }).join(),
    /field is immutable/,
  );

  const claim = { vpc: "default", address: "10.64.0.7", interface: { namespace: "shop", name: "web", uid: "u" } };
  assert.deepEqual(problemsOf(addressclaims, { spec: claim }, undefined, { name: "default.10-64-0-7" }), []);
  assert.deepEqual(problemsOf(addressclaims, { spec: claim }, undefined, { name: "default.10-64-0-8" }), [
    'metadata.name: Invalid value: "default.10-64-0-8": must be default.10-64-0-7',
  ]);
});

const open = {
  podName: "web",
  podUID: "u",
  nodeName: "n1",
  cpuMilli: 250,
  memoryMiB: 512,
  state: "Running",
  startMicros: 1_767_225_600_000_000,
};

test("a usage segment is opened, closed once, and never rewritten", () => {
  const { usagesegments } = resources;
  const closed = { ...open, endMicros: open.startMicros + 5, endCause: "Completed" };
  assert.deepEqual(problemsOf(usagesegments, { spec: open }), []);
  assert.deepEqual(problemsOf(usagesegments, { spec: closed }, { spec: open }), []);
  assert.match(
    problemsOf(usagesegments, { spec: { ...closed, cpuMilli: 100 } }, { spec: open }).join(),
    /field is immutable/,
  );
  assert.match(
    problemsOf(usagesegments, { spec: { ...closed, endMicros: open.startMicros + 6 } }, { spec: closed }).join(),
    /field is immutable/,
  );
  assert.match(
    problemsOf(usagesegments, { spec: { ...open, endMicros: 1 } }).join(),
    /must be an integer not before startMicros/,
  );
  assert.match(problemsOf(usagesegments, { spec: { ...open, state: "Idle" } }).join(), /Unsupported value: "Idle"/);
  assert.match(problemsOf(usagesegments, { spec: { ...open, memoryMiB: 0.5 } }).join(), /must be an integer above 0/);
});

test("a price is an integer in a known currency, and a new price is a new list", () => {
  const { pricelists } = resources;
  const spec = { currency: "EUR", effectiveFrom: "2026-01-01T00:00:00Z", vcpuSecondMicros: 12, gibSecondMicros: 0 };
  assert.deepEqual(problemsOf(pricelists, { spec }), []);
  assert.match(problemsOf(pricelists, { spec: { ...spec, vcpuSecondMicros: 1.5 } }).join(), /integer of millionths/);
  assert.match(problemsOf(pricelists, { spec: { ...spec, currency: "euro" } }).join(), /ISO 4217/);
  assert.match(problemsOf(pricelists, { spec: { ...spec, effectiveFrom: "soon" } }).join(), /RFC 3339/);
  assert.match(
    problemsOf(pricelists, { spec: { ...spec, gibSecondMicros: 1 } }, { spec }).join(),
    /field is immutable/,
  );
});

test("paused time has prices of its own that may be left out, and stay as they are", () => {
  const { pricelists } = resources;
  const spec = { currency: "EUR", effectiveFrom: "2026-01-01T00:00:00Z", vcpuSecondMicros: 12, gibSecondMicros: 2 };
  const paused = { ...spec, pausedVcpuSecondMicros: 0, pausedGibSecondMicros: 1 };
  assert.deepEqual(problemsOf(pricelists, { spec: paused }), []);
  assert.deepEqual(problemsOf(pricelists, { spec: { ...paused, pausedGibSecondMicros: -1 } }), [
    "spec.pausedGibSecondMicros: Invalid value: -1: must be an integer of millionths, 0 or more",
  ]);
  // A list of before there was a pause may still be labelled.
  assert.deepEqual(problemsOf(pricelists, { spec }, { spec }), []);
  assert.match(problemsOf(pricelists, { spec: paused }, { spec }).join(), /field is immutable/);
});

test("a snapshot is of one instance for good, and ready only with a place and something to clone", () => {
  const { snapshots } = resources;
  const spec = { podName: "web" };
  assert.deepEqual(problemsOf(snapshots, { spec }), []);
  assert.deepEqual(problemsOf(snapshots, { spec: {} }), ["spec.podName: Required value"]);
  assert.match(problemsOf(snapshots, { spec: { podName: "No" } }).join(), /^spec\.podName: Invalid value: "No"/);
  assert.match(problemsOf(snapshots, { spec: { podName: "db" } }, { spec }).join(), /^spec: .*field is immutable$/);
  const podTemplate = { metadata: {}, spec: { containers: [] } };
  const ready = { phase: "Ready", nodeName: "n1", podTemplate, sizeBytes: 1, pauseMillis: 1.5 };
  assert.deepEqual(problemsOf(snapshots, { spec, status: ready }, { spec }), []);
  assert.deepEqual(problemsOf(snapshots, { spec, status: { phase: "Ready" } }), [
    "status.nodeName: Required value: a snapshot that is ready is on a node",
    "status.podTemplate: Required value: a snapshot that is ready says what a clone is made of",
  ]);
  assert.deepEqual(problemsOf(snapshots, { spec, status: { phase: "Done", sizeBytes: -1 } }), [
    'status.phase: Unsupported value: "Done": supported values: "Failed", "Pending", "Ready"',
    "status.sizeBytes: Invalid value: -1: must be greater than or equal to 0",
  ]);
});

test("a body without a spec is judged, not tripped over", () => {
  const needsSpec = new Set([
    "Pod",
    "VPC",
    "NetworkInterface",
    "AddressClaim",
    "UsageSegment",
    "PriceList",
    "Snapshot",
  ]);
  for (const definition of resourceDefinitions.filter(({ kind }) => kind !== "Event")) {
    assert.equal(problemsOf(definition, {}).length > 0, needsSpec.has(definition.kind), definition.kind);
  }
});
