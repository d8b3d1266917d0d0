import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigMap, resources } from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import { Informer } from "./informer.ts";
import { KubeClient } from "./kube-client.ts";
import { startScriptedServer } from "./testing/scripted-server.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";
import { waitUntil } from "./testing/wait-until.ts";

function configMap(name: string, data: Readonly<Record<string, string>> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}

/** An informer with a diary of what its handler was told. */
function informing(client: KubeClient) {
  const informer = new Informer(resources.configmaps, {
    client,
    clock: systemClock,
    logger: silentLogger,
    namespace: "default",
  });
  const told: string[] = [];
  informer.onChange((key, current, previous) => {
    const what = current === undefined ? "gone" : previous === undefined ? "new" : "changed";
    told.push(`${what} ${key} ${(current ?? previous)?.data?.["x"] ?? ""}`.trimEnd());
  });
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  return {
    informer,
    told,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the test ends"));
      await running;
    },
  };
}

async function set(api: TestApi, name: string, x: string): Promise<void> {
  await api.client.patch(resources.configmaps, "default", name, { data: { x } });
}

test("the copy follows the collection, and handlers hear of every change with what was before", async () => {
  await using api = await startTestApi();
  await api.client.create(resources.configmaps, configMap("a", { x: "1" }));
  await using one = informing(api.client);
  await one.informer.ready;
  assert.equal(one.informer.get("default/a")?.data?.["x"], "1");
  await set(api, "a", "2");
  await api.client.create(resources.configmaps, configMap("b", { x: "1" }));
  await api.client.delete(resources.configmaps, "default", "a");
  await waitUntil("a is gone", () => one.informer.get("default/a") === undefined);
  assert.deepEqual(one.told, ["new default/a 1", "changed default/a 2", "new default/b 1", "gone default/a 2"]);
  assert.equal(one.informer.size, 1);
});

test("a server that restarts in mid-watch costs no change and repeats none", async () => {
  await using api = await startTestApi();
  await using one = informing(api.client);
  await one.informer.ready;
  await api.client.create(resources.configmaps, configMap("a", { x: "0" }));
  for (let round = 1; round <= 3; round++) {
    await set(api, "a", `${round}-before`);
    await api.restart();
    await waitUntil(
      "the server answers",
      async () =>
        await set(api, "a", `${round}-after`).then(
          () => true,
          () => false,
        ),
    );
  }
  await waitUntil("the last change has come", () => one.informer.get("default/a")?.data?.["x"] === "3-after");
  const expected = [1, 2, 3].flatMap((round) => [
    `changed default/a ${round}-before`,
    `changed default/a ${round}-after`,
  ]);
  assert.deepEqual(one.told, ["new default/a 0", ...expected]);
});

test("after a compaction the informer lists again and tells what changed, was deleted and was made anew", async () => {
  await using api = await startTestApi({ historyMs: 1 });
  for (const name of ["kept", "changed", "deleted", "renewed"]) {
    await api.client.create(resources.configmaps, configMap(name, { x: "1" }));
  }
  await using one = informing(api.client);
  await one.informer.ready;
  one.told.length = 0;
  await api.stop();
  // Behind the watcher's back, over a server on another port.
  await using side = await api.another();
  await side.client.patch(resources.configmaps, "default", "changed", { data: { x: "2" } });
  await side.client.delete(resources.configmaps, "default", "deleted");
  await side.client.delete(resources.configmaps, "default", "renewed");
  await side.client.create(resources.configmaps, configMap("renewed", { x: "2" }));
  await api.store.compact(await api.store.currentRevision());
  await api.restart();
  await waitUntil("the informer has caught up", () => one.told.length >= 4);
  assert.deepEqual(one.told.toSorted(), [
    "changed default/changed 2",
    "gone default/deleted 1",
    "gone default/renewed 1",
    "new default/renewed 2",
  ]);
  assert.ok(one.told.indexOf("gone default/renewed 1") < one.told.indexOf("new default/renewed 2"));
});

test("a handler that throws keeps neither the others nor the copy from going on", async () => {
  await using api = await startTestApi();
  await using one = informing(api.client);
  one.informer.onChange(() => {
    throw new Error("a broken handler");
  });
  const seen: string[] = [];
  const remove = one.informer.onChange((key) => seen.push(key));
  await one.informer.ready;
  await api.client.create(resources.configmaps, configMap("a"));
  await waitUntil("a is seen", () => seen.length === 1);
  remove();
  await api.client.create(resources.configmaps, configMap("b"));
  await waitUntil("b is there", () => one.informer.get("default/b") !== undefined);
  assert.deepEqual(seen, ["default/a"]);
});

test("an informer without a server is ready once it is stopped, and asks ever more seldom meanwhile", async () => {
  let asked = 0;
  await using server = await startScriptedServer((_request, response) => {
    asked += 1;
    response.writeHead(500).end();
  });
  using client = new KubeClient(server.config);
  const delays: number[] = [];
  const informer = new Informer(resources.configmaps, {
    client,
    clock: {
      ...systemClock,
      sleep: async (durationMs, signal) => {
        delays.push(durationMs);
        await systemClock.sleep(1, signal);
      },
    },
    logger: silentLogger,
  });
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  await waitUntil("it has asked six times", () => asked >= 6);
  stop.abort(new Error("the test ends"));
  await running;
  await informer.ready;
  assert.deepEqual(delays.slice(0, 5), [50, 100, 200, 400, 800]);
});

test("a server that ends every watch at once is left in peace ever longer", async () => {
  await using server = await startScriptedServer((request, response) => {
    if (request.url?.includes("watch=true") === true) response.end();
    else
      response.end(
        JSON.stringify({ kind: "ConfigMapList", apiVersion: "v1", metadata: { resourceVersion: "5" }, items: [] }),
      );
  });
  using client = new KubeClient(server.config);
  const delays: number[] = [];
  const stop = new AbortController();
  const informer = new Informer(resources.configmaps, {
    client,
    clock: {
      ...systemClock,
      sleep: async (durationMs, signal) => {
        if (delays.push(durationMs) >= 4) stop.abort(new Error("the test ends"));
        await systemClock.sleep(1, signal);
      },
    },
    logger: silentLogger,
  });
  await informer.run(stop.signal);
  assert.deepEqual(delays, [50, 100, 200, 400]);
});
