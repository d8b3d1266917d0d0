import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigMap, resources } from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import { EventRecorder } from "./event-recorder.ts";
import type { KubeClient } from "./kube-client.ts";
import { startTestApi } from "./testing/test-api.ts";

const frozenClock = { ...systemClock, nowMs: () => 1_700_000_000_000, nowMicros: () => 1_700_000_000_000_000n };

function recorderFor(client: KubeClient): EventRecorder {
  return new EventRecorder({ client, clock: frozenClock, logger: silentLogger, component: "tester", host: "here" });
}

async function subject(client: KubeClient, name = "a"): Promise<ConfigMap> {
  return await client.create(resources.configmaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default" },
  });
}

test("the same event again raises the count of the first; another one is another object, in the same instant too", async () => {
  await using api = await startTestApi();
  const object = await subject(api.client);
  const events = recorderFor(api.client);
  for (let count = 0; count < 3; count++) events.warning(object, "Failed", "it broke");
  events.normal(object, "Started", "it runs", "spec.containers{c}");
  events.warning(object, "Failed", "it broke otherwise");
  await events.flush();
  const { items } = await api.client.list(resources.events, { namespace: "default" });
  const told = items.map((one) => [one.type, one.reason, one.message, one.count]);
  assert.deepEqual(told.toSorted(), [
    ["Normal", "Started", "it runs", 1],
    ["Warning", "Failed", "it broke otherwise", 1],
    ["Warning", "Failed", "it broke", 3],
  ]);
  const started = items.find((one) => one.reason === "Started");
  assert.deepEqual(started?.involvedObject, {
    kind: "ConfigMap",
    apiVersion: "v1",
    name: "a",
    namespace: "default",
    uid: object.metadata.uid,
    fieldPath: "spec.containers{c}",
  });
  assert.deepEqual(started?.source, { component: "tester", host: "here" });
  assert.equal(started?.firstTimestamp, "2023-11-14T22:13:20Z");
});

test("an event that was deleted meanwhile is written anew", async () => {
  await using api = await startTestApi();
  const object = await subject(api.client);
  const events = recorderFor(api.client);
  events.normal(object, "Started", "it runs");
  await events.flush();
  const [first] = (await api.client.list(resources.events)).items;
  await api.client.delete(resources.events, "default", first?.metadata.name ?? "");
  events.normal(object, "Started", "it runs");
  await events.flush();
  const { items } = await api.client.list(resources.events);
  assert.deepEqual(
    items.map((one) => one.count),
    [1],
  );
});

test("objects with the longest names and endless messages have events too", async () => {
  await using api = await startTestApi();
  const object = await subject(api.client, "x".repeat(253));
  const events = recorderFor(api.client);
  events.normal(object, "Started", "m".repeat(5000));
  await events.flush();
  const { items } = await api.client.list(resources.events);
  assert.equal(items.length, 1);
  assert.equal(items[0]?.message?.length, 1024);
});

test("events that cannot be written trouble nobody", async () => {
  await using api = await startTestApi();
  const object = await subject(api.client);
  await api.stop();
  const events = recorderFor(api.client);
  for (let count = 0; count < 2000; count++) events.normal(object, "Started", "it runs");
  await events.flush();
});
