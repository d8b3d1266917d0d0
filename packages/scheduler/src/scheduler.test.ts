import assert from "node:assert/strict";
import { test } from "node:test";
import { type Node, type Pod, podNodeRequest, resources } from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import { Informer, KubeClient, pathOf } from "@isopod/client";
import { Scheduler } from "./scheduler.ts";
import { podOf, readyNode } from "./testing/objects.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";

function scheduling(client: KubeClient): AsyncDisposable & { readonly pods: Informer<Pod> } {
  const options = { client, clock: systemClock, logger: silentLogger };
  const pods = new Informer(resources.pods, options);
  const nodes = new Informer(resources.nodes, options);
  const stop = new AbortController();
  const scheduler = new Scheduler({ ...options, pods, nodes });
  const running = Promise.all([scheduler.run(stop.signal), pods.run(stop.signal), nodes.run(stop.signal)]);
  return {
    pods,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the test ends"));
      await running;
    },
  };
}

async function addNode(api: TestApi, node: Node): Promise<void> {
  await api.client.create(resources.nodes, node);
  await api.client.patch(
    resources.nodes,
    undefined,
    node.metadata.name,
    { status: node.status },
    { subresource: "status" },
  );
}

async function podNamed(api: TestApi, name: string): Promise<Pod> {
  return await api.client.get(resources.pods, "default", name);
}

const isScheduled = async (api: TestApi, name: string): Promise<string | false> =>
  (await podNamed(api, name)).spec.nodeName ?? false;

async function boundPods(api: TestApi): Promise<readonly Pod[]> {
  const { items } = await api.client.list(resources.pods);
  return items.filter((pod) => (pod.spec.nodeName ?? "") !== "");
}

function assertNotOverbooked(pods: readonly Pod[], memoryMiB: number, maxPods: number): void {
  for (const [node, here] of Map.groupBy(pods, (pod) => pod.spec.nodeName)) {
    const used = here.reduce((sum, pod) => sum + (podNodeRequest(pod)?.memoryMiB ?? 0), 0);
    assert.ok(used <= memoryMiB, `${node} has ${used} MiB of ${memoryMiB}`);
    assert.ok(here.length <= maxPods, `${node} has ${here.length} pods`);
  }
}

test("a pod is bound, and that is told by condition and event", async () => {
  await using api = await startTestApi();
  await addNode(api, readyNode("n1"));
  await using _scheduler = scheduling(api.client);
  await api.client.create(resources.pods, podOf("a", "1", "1Gi"));
  assert.equal(await waitUntil("a has a node", async () => await isScheduled(api, "a")), "n1");
  const { status } = await podNamed(api, "a");
  assert.equal(status?.conditions?.find((one) => one.type === "PodScheduled")?.status, "True");
  const event = await waitUntil("the event is there", async () => {
    const { items } = await api.client.list(resources.events);
    return items.find((one) => one.reason === "Scheduled");
  });
  assert.equal(event.message, "Successfully assigned default/a to n1");
});

test("a pod that fits nowhere is told why, once, and is placed as soon as a pod ends", async () => {
  await using api = await startTestApi();
  await addNode(api, readyNode("n1", { memory: "2500Mi" }));
  await using _scheduler = scheduling(api.client);
  await api.client.create(resources.pods, podOf("first", "250m", "2Gi"));
  await waitUntil("first has a node", async () => await isScheduled(api, "first"));
  await api.client.create(resources.pods, podOf("second", "250m", "2Gi"));
  const message = "0/1 nodes are available: 1 Insufficient memory.";
  await waitUntil("second is told why", async () => {
    const { status } = await podNamed(api, "second");
    const condition = status?.conditions?.find((one) => one.type === "PodScheduled");
    return condition?.status === "False" && condition.reason === "Unschedulable" && condition.message === message;
  });
  const told = await waitUntil("the event is there", async () => {
    const { items } = await api.client.list(resources.events);
    const failed = items.filter((one) => one.reason === "FailedScheduling");
    return failed.length > 0 && failed;
  });
  assert.deepEqual(
    told.map((one) => [one.type, one.message, one.count, one.involvedObject.name]),
    [["Warning", message, 1, "second"]],
  );
  await api.client.patch(
    resources.pods,
    "default",
    "first",
    { status: { phase: "Succeeded" } },
    { subresource: "status" },
  );
  assert.equal(await waitUntil("second has a node", async () => await isScheduled(api, "second")), "n1");
  const { status } = await podNamed(api, "second");
  assert.equal(status?.conditions?.find((one) => one.type === "PodScheduled")?.status, "True");
});

test("a waiting pod is placed when a node comes, is uncordoned, or becomes ready", async () => {
  await using api = await startTestApi();
  await using _scheduler = scheduling(api.client);
  const waiting = async (reason: RegExp): Promise<void> => {
    await waitUntil(`a is told ${String(reason)}`, async () => {
      const { status } = await podNamed(api, "a");
      return reason.test(status?.conditions?.find((one) => one.type === "PodScheduled")?.message ?? "");
    });
  };
  await api.client.create(resources.pods, podOf("a", "1", "1Gi"));
  await waiting(/no nodes available/);
  await addNode(api, readyNode("n1", {}, { spec: { unschedulable: true } }));
  await waiting(/unschedulable/);
  const unknown = { status: { conditions: [{ type: "Ready", status: "Unknown" }] } };
  await api.client.patch(resources.nodes, undefined, "n1", unknown, { subresource: "status" });
  await api.client.patch(resources.nodes, undefined, "n1", { spec: { unschedulable: false } });
  await waiting(/not ready/);
  const ready = { status: { conditions: [{ type: "Ready", status: "True" }] } };
  await api.client.patch(resources.nodes, undefined, "n1", ready, { subresource: "status" });
  await waitUntil("a has a node", async () => await isScheduled(api, "a"));
});

test("a burst of 200 pods fills three nodes to the last place and overbooks none", async () => {
  await using api = await startTestApi();
  // Each takes 60 pods: by count on the first, by memory on the others.
  const each = podNodeRequest(podOf("x", "100m", "128Mi"))?.memoryMiB ?? 0;
  const memoryMiB = each * 60;
  await addNode(api, readyNode("n1", { cpu: "1000", memory: "100Gi", pods: "60" }));
  for (const name of ["n2", "n3"]) {
    await addNode(api, readyNode(name, { cpu: "1000", memory: `${memoryMiB}Mi`, pods: "250" }));
  }
  await using _scheduler = scheduling(api.client);
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      await api.client.create(resources.pods, podOf(`p${index}`, "100m", "128Mi"));
      // A change of the pod between choice and binding must not place it twice.
      if (index % 10 === 0) {
        await api.client.patch(resources.pods, "default", `p${index}`, { metadata: { labels: { touched: "yes" } } });
      }
    }),
  );
  const pods = await waitUntil("180 pods are bound", async () => {
    const found = await boundPods(api);
    return found.length >= 180 && found;
  });
  assert.equal(pods.length, 180);
  const n1 = pods.filter((pod) => pod.spec.nodeName === "n1");
  assert.equal(n1.length, 60);
  assertNotOverbooked(
    pods.filter((pod) => pod.spec.nodeName !== "n1"),
    memoryMiB,
    60,
  );
});

test("a scheduler that starts in the middle counts what another has bound, and one that ends leaves nothing half", async () => {
  await using api = await startTestApi();
  const each = podNodeRequest(podOf("x", "100m", "128Mi"))?.memoryMiB ?? 0;
  for (const name of ["n1", "n2"])
    await addNode(api, readyNode(name, { cpu: "1000", memory: `${each * 20}Mi`, pods: "250" }));
  const names = Array.from({ length: 50 }, (_, index) => `p${index}`);
  await Promise.all(names.map(async (name) => await api.client.create(resources.pods, podOf(name, "100m", "128Mi"))));
  {
    await using _first = scheduling(api.client);
    await waitUntil("some are bound", async () => (await boundPods(api)).length > 0);
  }
  await using _second = scheduling(api.client);
  const pods = await waitUntil("40 pods are bound", async () => {
    const found = await boundPods(api);
    return found.length >= 40 && found;
  });
  assert.equal(pods.length, 40);
  assertNotOverbooked(pods, each * 20, 20);
});

test("a pod that somebody else has bound meanwhile counts where it is, not where it was to go", async () => {
  await using api = await startTestApi();
  const each = podNodeRequest(podOf("x", "100m", "128Mi"))?.memoryMiB ?? 0;
  for (const name of ["n1", "n2"]) await addNode(api, readyNode(name, { memory: `${each}Mi` }));
  // Every binding of the scheduler loses against one that was made a moment before, to the other node.
  const rival = new KubeClient(api.config);
  const client = new KubeClient(api.config);
  const json = client.transport.json.bind(client.transport);
  let stolen = "";
  client.transport.json = async (method, path, options) => {
    if (path.endsWith("/a/binding") && stolen === "") {
      stolen = "n2";
      await rival.transport.json("POST", pathOf(resources.pods, "default", "a", "binding"), {
        body: { apiVersion: "v1", kind: "Binding", metadata: { name: "a" }, target: { kind: "Node", name: stolen } },
      });
    }
    return await json(method, path, options);
  };
  using _clients = { [Symbol.dispose]: () => [rival, client].forEach((one) => one[Symbol.dispose]()) };
  await using scheduler = scheduling(client);
  await scheduler.pods.ready;
  await api.client.create(resources.pods, podOf("a", "100m", "128Mi"));
  await waitUntil("a is bound", async () => await isScheduled(api, "a"));
  await api.client.create(resources.pods, podOf("b", "100m", "128Mi"));
  assert.equal(await waitUntil("b is bound", async () => await isScheduled(api, "b")), "n1");
  await api.client.create(resources.pods, podOf("c", "100m", "128Mi"));
  await waitUntil("c is told that nothing is left", async () => {
    const { status } = await podNamed(api, "c");
    return status?.conditions?.some((one) => one.reason === "Unschedulable") === true;
  });
  assert.equal((await podNamed(api, "a")).spec.nodeName, "n2");
});

test("a pod that changes while its binding is under way is not placed a second time", async () => {
  await using api = await startTestApi();
  for (const name of ["n1", "n2"]) await addNode(api, readyNode(name));
  using client = new KubeClient(api.config);
  const json = client.transport.json.bind(client.transport);
  const held = Promise.withResolvers<void>();
  let bindings = 0;
  client.transport.json = async (method, path, options) => {
    if (path.endsWith("/binding")) {
      bindings += 1;
      await held.promise;
    }
    return await json(method, path, options);
  };
  await using scheduler = scheduling(client);
  await api.client.create(resources.pods, podOf("a", "1", "1Gi"));
  await waitUntil("a is being bound", () => bindings > 0);
  await api.client.patch(resources.pods, "default", "a", { metadata: { labels: { touched: "yes" } } });
  await waitUntil("the scheduler has seen the change", () => {
    return scheduler.pods.get("default/a")?.metadata.labels?.["touched"] === "yes";
  });
  held.resolve();
  await waitUntil("a has a node", async () => await isScheduled(api, "a"));
  assert.equal(bindings, 1);
});

test("a binding whose answer was lost still counts", async () => {
  await using api = await startTestApi();
  const each = podNodeRequest(podOf("x", "100m", "128Mi"))?.memoryMiB ?? 0;
  await addNode(api, readyNode("n1", { memory: `${each}Mi` }));
  using client = new KubeClient(api.config);
  const json = client.transport.json.bind(client.transport);
  let isLost = false;
  client.transport.json = async (method, path, options) => {
    const answer = await json(method, path, options);
    if (path.endsWith("/binding") && !isLost) {
      isLost = true;
      throw new Error("the connection broke after the server had answered");
    }
    return answer;
  };
  await using _scheduler = scheduling(client);
  await api.client.create(resources.pods, podOf("a", "100m", "128Mi"));
  await waitUntil("a is bound", async () => await isScheduled(api, "a"));
  await api.client.create(resources.pods, podOf("b", "100m", "128Mi"));
  await waitUntil("b is told that nothing is left", async () => {
    const { status } = await podNamed(api, "b");
    return status?.conditions?.some((one) => one.reason === "Unschedulable") === true;
  });
  assert.deepEqual(
    (await boundPods(api)).map((pod) => pod.metadata.name),
    ["a"],
  );
});

test("pods of another scheduler, pods behind a gate and pods being deleted are left alone", async () => {
  await using api = await startTestApi();
  await addNode(api, readyNode("n1"));
  await api.client.create(resources.pods, podOf("other", "1", "1Gi", { schedulerName: "mine" }));
  await using _scheduler = scheduling(api.client);
  await api.client.create(resources.pods, podOf("a", "1", "1Gi"));
  await waitUntil("a has a node", async () => await isScheduled(api, "a"));
  assert.equal((await podNamed(api, "other")).spec.nodeName, undefined);
});

test("a scheduler that is stopped before its first list ends", async () => {
  await using api = await startTestApi();
  await api.stop();
  await using _scheduler = scheduling(api.client);
});
