import assert from "node:assert/strict";
import { test } from "node:test";
import { isopodApiVersion, resources } from "@isopod/api";
import { running } from "../testing/running.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { NamespaceController } from "./namespace-controller.ts";

const make = (options: ConstructorParameters<typeof NamespaceController>[0]) => new NamespaceController(options);

async function addNamespace(api: TestApi, name: string): Promise<void> {
  await api.client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
}

const isThere = async (call: Promise<unknown>): Promise<boolean> =>
  await call.then(
    () => true,
    () => false,
  );

test("every namespace gets its default service account, again when somebody deletes it", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  await addNamespace(api, "team");
  const account = async () => await api.client.get(resources.serviceaccounts, "team", "default").catch(() => undefined);
  const first = await waitUntil("it is there", account);
  await api.client.delete(resources.serviceaccounts, "team", "default");
  await waitUntil("it is there again", async () => {
    const again = await account();
    return again !== undefined && again.metadata.uid !== first.metadata.uid;
  });
  await waitUntil("default has one too", async () => {
    return await isThere(api.client.get(resources.serviceaccounts, "default", "default"));
  });
});

test("a deleted namespace is emptied and goes; interfaces and usage go after the pods, by those who own them", async () => {
  await using api = await startTestApi();
  const { client } = api;
  await using _controller = running(api, make);
  await addNamespace(api, "team");
  await client.create(resources.configmaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "m", namespace: "team" },
  });
  const pod = await client.create(resources.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "team" },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "busybox" }] },
  });
  const uid = pod.metadata.uid ?? "";
  await client.create(resources.networkinterfaces, {
    apiVersion: isopodApiVersion,
    kind: "NetworkInterface",
    metadata: { name: "p", namespace: "team" },
    spec: { vpc: "default", address: "10.0.0.5", macAddress: "02:00:00:00:00:01", podName: "p", podUID: uid },
  });
  await client.create(resources.usagesegments, {
    apiVersion: isopodApiVersion,
    kind: "UsageSegment",
    metadata: { name: `${uid}-0`, namespace: "team" },
    spec: {
      podName: "p",
      podUID: uid,
      nodeName: "n1",
      cpuMilli: 250,
      memoryMiB: 512,
      state: "Running",
      startMicros: 1,
    },
  });
  await client.delete(resources.namespaces, undefined, "team");
  await waitUntil("pod and config map are on their way", async () => {
    const isPodLeaving = (await client.get(resources.pods, "team", "p")).metadata.deletionTimestamp !== undefined;
    return isPodLeaving && !(await isThere(client.get(resources.configmaps, "team", "m")));
  });
  // The instance runs its grace: what is open stays open.
  assert.ok(await isThere(client.get(resources.networkinterfaces, "team", "p")));
  assert.ok(await isThere(client.get(resources.usagesegments, "team", `${uid}-0`)));
  assert.equal((await client.get(resources.namespaces, undefined, "team")).status?.phase, "Terminating");

  await client.delete(resources.pods, "team", "p", { body: { gracePeriodSeconds: 0 } });
  await client.patch(resources.pods, "team", "p", { metadata: { finalizers: null } });
  await client.delete(resources.networkinterfaces, "team", "p");
  assert.ok(await isThere(client.get(resources.namespaces, undefined, "team")));
  await client.delete(resources.usagesegments, "team", `${uid}-0`);
  await waitUntil("the namespace is gone", async () => {
    return !(await isThere(client.get(resources.namespaces, undefined, "team")));
  });
});

test("a namespace that was deleted while no controller ran goes when one comes", async () => {
  await using api = await startTestApi();
  await addNamespace(api, "team");
  await api.client.delete(resources.namespaces, undefined, "team");
  assert.ok(await isThere(api.client.get(resources.namespaces, undefined, "team")));
  await using _controller = running(api, make);
  await waitUntil("the namespace is gone", async () => {
    return !(await isThere(api.client.get(resources.namespaces, undefined, "team")));
  });
});
