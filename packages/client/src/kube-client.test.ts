import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigMap, resources } from "@isopod/api";
import { KubeClient } from "./kube-client.ts";
import { startScriptedServer } from "./testing/scripted-server.ts";
import { startTestApi } from "./testing/test-api.ts";

function configMap(name: string, data: Readonly<Record<string, string>> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}

test("an object is created, read, replaced, patched and deleted", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const created = await client.create(resources.configmaps, configMap("a", { x: "1" }));
  assert.deepEqual((await client.get(resources.configmaps, "default", "a")).data, { x: "1" });
  const updated = await client.update(resources.configmaps, { ...created, data: { x: "2" } });
  await assert.rejects(client.update(resources.configmaps, created), { code: "Conflict" });
  assert.equal(updated.data?.["x"], "2");
  const patched = await client.patch(resources.configmaps, "default", "a", { data: { y: "3" } });
  assert.deepEqual(patched.data, { x: "2", y: "3" });
  await assert.rejects(
    client.delete(resources.configmaps, "default", "a", { body: { preconditions: { uid: "another" } } }),
    { code: "Conflict" },
  );
  await client.delete(resources.configmaps, "default", "a");
  await assert.rejects(client.get(resources.configmaps, "default", "a"), { code: "NotFound" });
});

test("a dry run answers as the real call would and changes nothing", async () => {
  await using api = await startTestApi();
  const tried = await api.client.create(resources.configmaps, configMap("a"), { isDryRun: true });
  assert.equal(tried.metadata.name, "a");
  await assert.rejects(api.client.get(resources.configmaps, "default", "a"), { code: "NotFound" });
});

test("a list longer than one page is fetched whole, every object once, of one revision", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const count = 1201;
  await Promise.all(
    Array.from(
      { length: count },
      async (_, index) => await client.create(resources.configmaps, configMap(`m-${index}`)),
    ),
  );
  const list = await client.list(resources.configmaps, { namespace: "default" });
  const names = new Set(list.items.map((one) => one.metadata.name));
  assert.equal(list.items.length, count);
  assert.equal(names.size, count);
  assert.ok(list.items.every((one) => Number(one.metadata.resourceVersion) <= Number(list.metadata.resourceVersion)));
  assert.ok((list.metadata.continue ?? "") === "");
  const selected = await client.list(resources.configmaps, { fieldSelector: "metadata.name=m-7" });
  assert.deepEqual(
    selected.items.map((one) => one.metadata.name),
    ["m-7"],
  );
});

test("kind and version, which kube-apiserver leaves out of list items, are filled in", async () => {
  await using server = await startScriptedServer((_request, response) => {
    response.end(
      JSON.stringify({
        kind: "ConfigMapList",
        apiVersion: "v1",
        metadata: { resourceVersion: "5" },
        items: [{ metadata: { name: "a", namespace: "default" } }],
      }),
    );
  });
  using client = new KubeClient(server.config);
  const { items } = await client.list(resources.configmaps);
  assert.deepEqual(items, [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } }]);
});

test("a watch tells changes in their order and ends with the server's time-out", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const { metadata } = await client.list(resources.configmaps);
  const created = await client.create(resources.configmaps, configMap("a"));
  await client.update(resources.configmaps, { ...created, data: { x: "2" } });
  await client.delete(resources.configmaps, "default", "a");
  const seen: string[] = [];
  const options = { resourceVersion: metadata.resourceVersion ?? "", timeoutSeconds: 1 };
  for await (const event of client.watch(resources.configmaps, options)) {
    if (event.type !== "BOOKMARK") seen.push(`${event.type} ${event.object.metadata.name}`);
  }
  assert.deepEqual(seen, ["ADDED a", "MODIFIED a", "DELETED a"]);
});

test("a watch rejects with the reason of the signal that ended it", async () => {
  await using api = await startTestApi();
  const stop = new AbortController();
  const reason = new Error("enough");
  const watching = (async () => {
    for await (const event of api.client.watch(resources.configmaps, { resourceVersion: "", signal: stop.signal })) {
      if (event.type === "BOOKMARK") stop.abort(reason);
    }
  })();
  await assert.rejects(watching, reason);
});
