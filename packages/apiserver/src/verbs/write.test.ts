import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { elements, podNamed, startTestServer, type TestServer } from "../testing/test-server.ts";

const pods = "/api/v1/namespaces/default/pods";
const configMaps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, data: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});

describe("writing objects", () => {
  let test: TestServer;
  before(async () => {
    test = await startTestServer();
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  it("creates with the server's identity and defaults, and reads the same back", async () => {
    const created = await test.call("POST", pods, podNamed("one"));
    assert.equal(created.status, 201);
    const { metadata, spec, status } = created.json;
    assert.match(String(metadata?.uid), /^[0-9a-f-]{36}$/);
    assert.equal(metadata?.namespace, "default");
    assert.equal(metadata?.generation, 1);
    assert.equal(spec?.restartPolicy, "Always");
    assert.equal(status?.phase, "Pending");
    const read = await test.call("GET", `${pods}/one`);
    assert.deepEqual(read.json, created.json);
  });

  it("refuses a name twice, no name, a name in another namespace and an unknown namespace", async () => {
    await test.call("POST", configMaps, configMap("twice"));
    const again = await test.call("POST", configMaps, configMap("twice"));
    assert.deepEqual([again.status, again.json.reason], [409, "AlreadyExists"]);
    assert.equal(again.json.message, 'configmaps "twice" already exists');
    const nameless = await test.call("POST", configMaps, { ...configMap(""), metadata: {} });
    assert.equal(nameless.status, 422);
    const elsewhere = { ...configMap("x"), metadata: { name: "x", namespace: "other" } };
    assert.equal((await test.call("POST", configMaps, elsewhere)).status, 400);
    const nowhere = await test.call("POST", "/api/v1/namespaces/nowhere/configmaps", configMap("x"));
    assert.equal(nowhere.json.message, 'namespaces "nowhere" not found');
    assert.equal(nowhere.status, 404);
  });

  it("generates names", async () => {
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "gen-" } };
    const made = await test.call("POST", configMaps, body);
    assert.equal(made.status, 201);
    assert.match(String(made.json.metadata?.name), /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  it("says which fields are wrong, as kube-apiserver does", async () => {
    const bad = { ...podNamed("bad"), spec: { containers: [{ name: "c" }] } };
    const answer = await test.call("POST", pods, bad);
    assert.equal(answer.status, 422);
    assert.equal(answer.json.message, 'Pod "bad" is invalid: spec.containers[0].image: Required value');
    assert.equal(answer.json.details?.causes?.[0]?.field, "spec.containers[0].image");
  });

  it("treats unknown fields as the client asks", async () => {
    const body = { ...podNamed("unknown"), spec: { containers: [{ name: "c", image: "i", imagee: "x" }] } };
    const strict = await test.call("POST", `${pods}?fieldValidation=Strict&dryRun=All`, body);
    assert.equal(strict.status, 400);
    assert.match(String(strict.json.message), /strict decoding error: unknown field "spec\.containers\[0\]\.imagee"/);
    const warn = await test.call("POST", `${pods}?dryRun=All`, body);
    assert.equal(warn.status, 201);
    assert.match(String(warn.headers["warning"]), /299 - "unknown field \\"spec\.containers\[0\]\.imagee\\""/);
    assert.equal(warn.json.spec?.containers?.[0]?.imagee, undefined);
    const ignore = await test.call("POST", `${pods}?fieldValidation=Ignore&dryRun=All`, body);
    assert.equal(ignore.headers["warning"], undefined);
    const twice = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}';
    const duplicate = await test.call("POST", `${configMaps}?fieldValidation=Strict`, twice);
    assert.match(String(duplicate.json.message), /duplicate field "data\.a"/);
    assert.equal((await test.call("POST", `${configMaps}?fieldValidation=Maybe`, configMap("x"))).status, 422);
  });

  it("rounds a pod up to a size, says so, meters it, and refuses what is too large", async () => {
    const withResources = (name: string, cpu: string, memory: string) => ({
      ...podNamed(name),
      spec: { containers: [{ name: "c", image: "i", resources: { limits: { cpu, memory } } }] },
    });
    const odd = await test.call("POST", pods, withResources("odd", "300m", "700Mi"));
    assert.equal(odd.json.metadata?.annotations?.["isopod.dev/size-cpu"], "500m");
    assert.equal(odd.json.metadata?.annotations?.["isopod.dev/size-memory"], "1024Mi");
    assert.deepEqual(odd.json.metadata?.finalizers, ["isopod.dev/usage"]);
    assert.match(String(odd.headers["warning"]), /rounded up/);
    const exact = await test.call("POST", pods, withResources("exact", "250m", "512Mi"));
    assert.equal(exact.headers["warning"], undefined);
    const huge = await test.call("POST", pods, withResources("huge", "64", "1Ti"));
    assert.equal(huge.status, 422);
    assert.match(String(huge.json.message), /largest instance size/);
  });

  it("stores nothing in a dry run", async () => {
    const dry = await test.call("POST", `${configMaps}?dryRun=All`, configMap("dry"));
    assert.equal(dry.status, 201);
    assert.equal(dry.json.metadata?.resourceVersion, undefined);
    assert.equal((await test.call("GET", `${configMaps}/dry`)).status, 404);
    await test.call("POST", configMaps, configMap("wet", { a: "1" }));
    const patched = await test.call("PATCH", `${configMaps}/wet?dryRun=All`, { data: { a: "2" } }, mergePatch);
    assert.equal(patched.json.data?.a, "2");
    const deleted = await test.call("DELETE", `${configMaps}/wet?dryRun=All`);
    assert.equal(deleted.status, 200);
    assert.equal((await test.call("GET", `${configMaps}/wet`)).json.data?.a, "1");
    assert.equal((await test.call("POST", `${configMaps}?dryRun=Some`, configMap("x"))).status, 422);
  });

  it("updates what the client saw, and nothing newer", async () => {
    const first = (await test.call("POST", configMaps, configMap("u", { a: "1" }))).json;
    const second = await test.call("PUT", `${configMaps}/u`, { ...first, data: { a: "2" } });
    assert.equal(second.status, 200);
    assert.notEqual(second.json.metadata?.resourceVersion, first.metadata?.resourceVersion);
    assert.equal(second.json.metadata?.uid, first.metadata?.uid);
    const stale = await test.call("PUT", `${configMaps}/u`, { ...first, data: { a: "3" } });
    assert.deepEqual([stale.status, stale.json.reason], [409, "Conflict"]);
    assert.match(String(stale.json.message), /the object has been modified; please apply your changes/);
    const blind = await test.call("PUT", `${configMaps}/u`, configMap("u", { a: "4" }));
    assert.equal(blind.status, 200, "without a version the update is unconditional");
    const foreign = { ...configMap("u"), metadata: { name: "u", uid: "another" } };
    assert.equal((await test.call("PUT", `${configMaps}/u`, foreign)).status, 409);
    assert.equal((await test.call("PUT", `${configMaps}/v`, configMap("u"))).status, 400);
    assert.equal((await test.call("PUT", `${configMaps}/none`, configMap("none"))).status, 404);
  });

  it("writes nothing when an update changes nothing", async () => {
    const first = (await test.call("POST", configMaps, configMap("same", { a: "1" }))).json;
    const again = await test.call("PUT", `${configMaps}/same`, first);
    assert.equal(again.json.metadata?.resourceVersion, first.metadata?.resourceVersion);
    const patched = await test.call("PATCH", `${configMaps}/same`, { data: { a: "1" } }, mergePatch);
    assert.equal(patched.json.metadata?.resourceVersion, first.metadata?.resourceVersion);
  });

  it("applies each kind of patch", async () => {
    await test.call("POST", configMaps, configMap("p", { a: "1", b: "1" }));
    const path = `${configMaps}/p`;
    const merged = await test.call("PATCH", path, { data: { a: null, c: "3" } }, mergePatch);
    assert.deepEqual(merged.json.data, { b: "1", c: "3" });
    const json = [
      { op: "test", path: "/data/c", value: "3" },
      { op: "replace", path: "/data/c", value: "4" },
    ];
    assert.equal((await test.call("PATCH", path, json, jsonPatch)).json.data?.c, "4");
    assert.equal((await test.call("PATCH", path, json, jsonPatch)).status, 422, "its test fails now");
    await test.call("POST", pods, podNamed("strategic"));
    const strategic = { spec: { containers: [{ name: "c", image: "busybox:2" }] } };
    const pod = await test.call("PATCH", `${pods}/strategic`, strategic, strategicPatch);
    assert.equal(pod.json.spec?.containers?.[0]?.image, "busybox:2");
    assert.equal(pod.json.spec?.containers?.[0]?.name, "c");
    assert.equal(pod.json.metadata?.generation, 2);
    const vpc = {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "VPC",
      metadata: { name: "v" },
      spec: { cidr: "10.9.0.0/16" },
    };
    assert.equal((await test.call("POST", "/apis/isopod.dev/v1alpha1/vpcs", vpc)).status, 201);
    const refused = await test.call("PATCH", "/apis/isopod.dev/v1alpha1/vpcs/v", {}, strategicPatch);
    assert.equal(refused.status, 415);
  });

  it("lets every one of many concurrent patches through", async () => {
    await test.call("POST", configMaps, configMap("many"));
    const patches = await Promise.all(
      Array.from({ length: 15 }, (_, index) =>
        test.call("PATCH", `${configMaps}/many`, { data: { [`k${index}`]: "v" } }, mergePatch),
      ),
    );
    assert.deepEqual(new Set(patches.map(({ status }) => status)), new Set([200]));
    const { data } = (await test.call("GET", `${configMaps}/many`)).json;
    assert.equal(Object.keys(data ?? {}).length, 15);
  });

  it("takes a version in a patch as a condition", async () => {
    const first = (await test.call("POST", configMaps, configMap("conditional"))).json;
    const patch = { metadata: { resourceVersion: first.metadata?.resourceVersion }, data: { a: "1" } };
    assert.equal((await test.call("PATCH", `${configMaps}/conditional`, patch, mergePatch)).status, 200);
    assert.equal((await test.call("PATCH", `${configMaps}/conditional`, patch, mergePatch)).status, 409);
  });

  it("keeps spec and status apart", async () => {
    const pod = (await test.call("POST", pods, podNamed("apart"))).json;
    const both = { ...pod, metadata: { ...pod.metadata, labels: { a: "b" } }, status: { phase: "Running" } };
    const main = await test.call("PUT", `${pods}/apart`, both);
    assert.equal(main.json.status?.phase, "Pending");
    assert.equal(main.json.metadata?.labels?.a, "b");
    const viaStatus = { ...main.json, spec: { containers: [] }, status: { phase: "Running" } };
    const status = await test.call("PUT", `${pods}/apart/status`, viaStatus);
    assert.equal(status.status, 200, status.text);
    assert.equal(status.json.status?.phase, "Running");
    assert.equal(elements(status.json.spec?.containers).length, 1);
    assert.equal(status.json.metadata?.generation, 1, "a status is no change of the spec");
    assert.equal((await test.call("GET", `${pods}/apart/status`)).json.status?.phase, "Running");
  });

  it("requires a version for updates of leases no more than Kubernetes does, and for our kinds", async () => {
    const vpcs = "/apis/isopod.dev/v1alpha1/vpcs";
    const vpc = {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "VPC",
      metadata: { name: "w" },
      spec: { cidr: "10.8.0.0/16" },
    };
    await test.call("POST", vpcs, vpc);
    const blind = await test.call("PUT", `${vpcs}/w`, vpc);
    assert.equal(blind.status, 422);
    assert.equal(blind.json.details?.causes?.[0]?.field, "metadata.resourceVersion");
  });

  it("refuses bodies that are too large, of another type, or broken", async () => {
    const large = JSON.stringify(configMap("large", { a: "x".repeat(3 * 1024 * 1024) }));
    const tooLarge = await test.call("POST", configMaps, large);
    assert.deepEqual([tooLarge.status, tooLarge.json.reason], [413, "RequestEntityTooLarge"]);
    const other = await test.call("POST", configMaps, "x", { "Content-Type": "text/plain" });
    assert.equal(other.status, 415);
    assert.equal((await test.call("POST", configMaps, "{")).status, 400);
    assert.equal((await test.call("POST", configMaps, podNamed("x"))).status, 400, "a pod is no config map");
  });

  it("answers what it does not serve with a Status", async () => {
    for (const [method, path, status] of [
      ["GET", "/api/v1/widgets", 404],
      ["GET", "/apis/none.dev/v1/things", 404],
      ["GET", "/nothing/here", 404],
      ["GET", `${pods}/none`, 404],
      ["GET", `${pods}/one/portforward`, 404],
      ["POST", `${pods}/one`, 405],
      ["PUT", pods, 405],
      ["POST", "/api/v1/pods", 405],
      ["GET", `${pods}/one/exec`, 400],
      ["POST", "/api/v1/namespaces/default/serviceaccounts/default/token", 404],
    ] as const) {
      const answer = await test.call(method, path, method === "GET" ? undefined : podNamed("x"));
      assert.equal(answer.status, status, `${method} ${path}`);
      assert.equal(answer.json.kind, "Status");
      assert.equal(answer.json.status, "Failure");
    }
  });
});

const mergePatch = { "Content-Type": "application/merge-patch+json" };
const jsonPatch = { "Content-Type": "application/json-patch+json" };
const strategicPatch = { "Content-Type": "application/strategic-merge-patch+json" };
