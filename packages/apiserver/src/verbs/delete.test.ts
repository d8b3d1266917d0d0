import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { elements, type Json, names, podNamed, startTestServer, type TestServer } from "../testing/test-server.ts";

const pods = "/api/v1/namespaces/default/pods";
const configMaps = "/api/v1/namespaces/default/configmaps";
const mergePatch = { "Content-Type": "application/merge-patch+json" };

describe("deleting objects", () => {
  let test: TestServer;
  before(async () => {
    test = await startTestServer();
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  const createConfigMap = async (name: string, metadata: object = {}) =>
    (await test.call("POST", configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...metadata } }))
      .json;
  /** A pod on a node, so that it has something to stop. */
  const createBoundPod = async (name: string) => {
    const pod = await test.call("POST", pods, podNamed(name));
    assert.equal(pod.status, 201, pod.text);
    await bind(name);
    return (await test.call("GET", `${pods}/${name}`)).json;
  };
  const bind = async (name: string, node = "node-1") =>
    await test.call("POST", `${pods}/${name}/binding`, {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name },
      target: { kind: "Node", name: node },
    });
  const dropFinalizers = async (path: string) => {
    const answer = await test.call("PATCH", path, { metadata: { finalizers: null } }, mergePatch);
    assert.equal(answer.status, 200, answer.text);
  };

  it("removes what nothing keeps, and says what it was", async () => {
    const made = await createConfigMap("a");
    const deleted = await test.call("DELETE", `${configMaps}/a`);
    assert.deepEqual([deleted.json.kind, deleted.json.status], ["Status", "Success"]);
    assert.equal(deleted.json.details?.uid, made.metadata?.uid);
    assert.equal((await test.call("GET", `${configMaps}/a`)).status, 404);
    assert.equal((await test.call("DELETE", `${configMaps}/a`)).status, 404);
  });

  it("keeps preconditions", async () => {
    const made = await createConfigMap("pre");
    const withUid = (uid: unknown) => ({ kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid } });
    assert.equal((await test.call("DELETE", `${configMaps}/pre`, withUid("another"))).status, 409);
    const stale = { preconditions: { resourceVersion: "1" } };
    assert.equal((await test.call("DELETE", `${configMaps}/pre`, stale)).status, 409);
    assert.equal((await test.call("DELETE", `${configMaps}/pre`, withUid(made.metadata?.uid))).status, 200);
  });

  it("waits for finalizers, lets none be added, and goes with the last", async () => {
    await createConfigMap("held", { finalizers: ["example.com/a", "example.com/b"] });
    const marked = await test.call("DELETE", `${configMaps}/held`);
    assert.equal(marked.json.kind, "ConfigMap");
    assert.ok(marked.json.metadata?.deletionTimestamp);
    assert.equal((await test.call("DELETE", `${configMaps}/held`)).status, 200, "once more changes nothing");
    const path = `${configMaps}/held`;
    const added = { metadata: { finalizers: ["example.com/a", "example.com/c"] } };
    assert.equal((await test.call("PATCH", path, added, mergePatch)).status, 422);
    const one = { metadata: { finalizers: ["example.com/a"] } };
    assert.equal((await test.call("PATCH", path, one, mergePatch)).status, 200);
    assert.equal((await test.call("GET", path)).status, 200);
    await dropFinalizers(path);
    assert.equal((await test.call("GET", path)).status, 404);
  });

  it("marks an object for the garbage collector by propagation policy", async () => {
    for (const [policy, finalizer] of [
      ["Foreground", "foregroundDeletion"],
      ["Orphan", "orphan"],
    ]) {
      await createConfigMap("owner");
      const marked = await test.call("DELETE", `${configMaps}/owner`, { propagationPolicy: policy });
      assert.deepEqual(marked.json.metadata?.finalizers, [finalizer]);
      await dropFinalizers(`${configMaps}/owner`);
    }
    await createConfigMap("owner");
    assert.equal(
      (await test.call("DELETE", `${configMaps}/owner?propagationPolicy=Background`)).json.status,
      "Success",
    );
  });

  it("gives a running pod its grace; a second delete may only shorten it", async () => {
    const pod = await createBoundPod("grace");
    const marked = (await test.call("DELETE", `${pods}/grace`)).json;
    assert.equal(marked.metadata?.deletionGracePeriodSeconds, 30);
    assert.equal(marked.metadata?.generation, Number(pod.metadata?.generation) + 1);
    const end = (json: Json) => Date.parse(String(json.metadata?.deletionTimestamp));
    const longer = (await test.call("DELETE", `${pods}/grace?gracePeriodSeconds=60`)).json;
    assert.equal(longer.metadata?.deletionGracePeriodSeconds, 30);
    const shorter = (await test.call("DELETE", `${pods}/grace`, { gracePeriodSeconds: 5 })).json;
    assert.equal(shorter.metadata?.deletionGracePeriodSeconds, 5);
    assert.equal(end(shorter), end(marked) - 25_000);
  });

  it("keeps a stopped pod until its usage is told, then lets it go", async () => {
    const pod = await createBoundPod("metered");
    await test.call("DELETE", `${pods}/metered`);
    await dropFinalizersKeepsWaiting();
    const final = { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata?.uid } };
    assert.equal((await test.call("DELETE", `${pods}/metered`, final)).status, 200);
    assert.equal((await test.call("GET", `${pods}/metered`)).status, 404);

    async function dropFinalizersKeepsWaiting() {
      await dropFinalizers(`${pods}/metered`);
      assert.equal((await test.call("GET", `${pods}/metered`)).status, 200, "its grace is not over");
    }
  });

  it("lets the finalizer's removal delete a pod whose grace is over", async () => {
    await createBoundPod("ended");
    await test.call("DELETE", `${pods}/ended`, { gracePeriodSeconds: 0 });
    assert.equal((await test.call("GET", `${pods}/ended`)).json.metadata?.deletionGracePeriodSeconds, 0);
    await dropFinalizers(`${pods}/ended`);
    assert.equal((await test.call("GET", `${pods}/ended`)).status, 404);
  });

  it("does not wait for a pod that runs nowhere", async () => {
    await test.call("POST", pods, podNamed("unscheduled"));
    const marked = await test.call("DELETE", `${pods}/unscheduled`);
    assert.equal(marked.json.metadata?.deletionGracePeriodSeconds, 0);
    await dropFinalizers(`${pods}/unscheduled`);
    assert.equal((await test.call("GET", `${pods}/unscheduled`)).status, 404);
  });

  it("binds a pod once, and not to its death bed", async () => {
    await test.call("POST", pods, podNamed("bound"));
    assert.equal((await bind("bound")).status, 201);
    const pod = (await test.call("GET", `${pods}/bound`)).json;
    assert.equal(pod.spec?.nodeName, "node-1");
    assert.equal(elements(pod.status?.conditions).find(({ type }) => String(type) === "PodScheduled")?.status, "True");
    const again = await bind("bound", "node-2");
    assert.equal(again.status, 409);
    assert.match(String(again.json.message), /already assigned to node "node-1"/);
    await test.call("POST", pods, podNamed("dying"));
    await test.call("DELETE", `${pods}/dying`);
    assert.equal((await bind("dying")).status, 409);
  });

  it("evicts as it deletes", async () => {
    await createBoundPod("evicted");
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "evicted" } };
    const answer = await test.call("POST", `${pods}/evicted/eviction`, {
      ...eviction,
      deleteOptions: { gracePeriodSeconds: 7 },
    });
    assert.equal(answer.status, 201, answer.text);
    assert.equal((await test.call("GET", `${pods}/evicted`)).json.metadata?.deletionGracePeriodSeconds, 7);
  });

  it("deletes a collection by selector", async () => {
    for (const [name, team] of [
      ["c1", "red"],
      ["c2", "red"],
      ["c3", "blue"],
    ]) {
      await createConfigMap(String(name), { labels: { team } });
    }
    const deleted = await test.call("DELETE", `${configMaps}?labelSelector=team%3Dred`);
    assert.deepEqual([...names(deleted.json)].toSorted(), ["c1", "c2"]);
    const left = await test.call("GET", `${configMaps}?labelSelector=team`);
    assert.deepEqual(names(left.json), ["c3"]);
  });

  it("empties a namespace before it goes, and takes nothing new into it", async () => {
    const namespaces = "/api/v1/namespaces";
    await test.call("POST", namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "doomed" } });
    const marked = (await test.call("DELETE", `${namespaces}/doomed`)).json;
    assert.equal(marked.status?.phase, "Terminating");
    const late = await test.call("POST", `${namespaces}/doomed/configmaps`, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "late" },
    });
    assert.equal(late.status, 403);
    assert.equal(late.json.details?.causes?.[0]?.reason, "NamespaceTerminating");
    const emptied = await test.call("PUT", `${namespaces}/doomed/finalize`, { ...marked, spec: { finalizers: [] } });
    assert.equal(emptied.status, 200, emptied.text);
    assert.equal((await test.call("GET", `${namespaces}/doomed`)).status, 404);
    assert.equal((await test.call("DELETE", `${namespaces}/default`)).status, 403);
  });
});
