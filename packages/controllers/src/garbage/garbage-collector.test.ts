import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigMap, type KubeObject, type OwnerReference, resources } from "@isopod/api";
import { running } from "../testing/running.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { GarbageCollector } from "./garbage-collector.ts";

const make = (options: ConstructorParameters<typeof GarbageCollector>[0]) => new GarbageCollector(options);

function ownedBy(owner: KubeObject, over: Partial<OwnerReference> = {}): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid ?? "", ...over };
}

async function add(
  api: TestApi,
  name: string,
  owners: readonly OwnerReference[] = [],
  finalizers: readonly string[] = [],
) {
  return await api.client.create(resources.configmaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", ownerReferences: owners, finalizers },
  });
}

const find = async (api: TestApi, name: string): Promise<ConfigMap | undefined> =>
  await api.client.get(resources.configmaps, "default", name).catch(() => undefined);

async function remove(api: TestApi, name: string, propagationPolicy: "Background" | "Foreground" | "Orphan") {
  await api.client.delete(resources.configmaps, "default", name, { body: { propagationPolicy } });
}

const gone = async (api: TestApi, name: string): Promise<void> => {
  await waitUntil(`${name} is gone`, async () => (await find(api, name)) === undefined);
};

/** An object with an absent owner, made after everything else: when it is gone, the collector has seen all before it. */
async function settled(api: TestApi): Promise<void> {
  const owner = { apiVersion: "v1", kind: "ConfigMap", name: "never-was", uid: "no-such-uid" };
  await add(api, "canary", [owner]);
  await gone(api, "canary");
}

test("dependents go after their owner in the background, theirs after them", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const owner = await add(api, "owner");
  const child = await add(api, "child", [ownedBy(owner)]);
  await add(api, "grandchild", [ownedBy(child)]);
  const bystander = await add(api, "bystander");
  await add(api, "kept", [ownedBy(bystander)]);
  await settled(api);
  assert.notEqual(await find(api, "grandchild"), undefined);
  await remove(api, "owner", "Background");
  for (const name of ["owner", "child", "grandchild"]) await gone(api, name);
  await settled(api);
  assert.notEqual(await find(api, "kept"), undefined);
});

test("an owner deleted in the foreground goes after the dependents that block it", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const owner = await add(api, "owner");
  const child = await add(api, "child", [ownedBy(owner, { blockOwnerDeletion: true })]);
  await add(api, "grandchild", [ownedBy(child, { blockOwnerDeletion: true })], ["test.dev/hold"]);
  await settled(api);
  await remove(api, "owner", "Foreground");
  await waitUntil("the grandchild is being deleted", async () => {
    return (await find(api, "grandchild"))?.metadata.deletionTimestamp !== undefined;
  });
  for (const name of ["owner", "child"]) {
    assert.deepEqual((await find(api, name))?.metadata.finalizers, ["foregroundDeletion"], name);
  }
  await api.client.patch(resources.configmaps, "default", "grandchild", { metadata: { finalizers: null } });
  for (const name of ["grandchild", "child", "owner"]) await gone(api, name);
});

test("an owner deleted in the foreground does not wait for a dependent that another owner keeps", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const [leaving, staying] = [await add(api, "leaving"), await add(api, "staying")];
  await add(api, "child", [ownedBy(leaving, { blockOwnerDeletion: true }), ownedBy(staying)]);
  await settled(api);
  await remove(api, "leaving", "Foreground");
  await gone(api, "leaving");
  await settled(api);
  const child = await find(api, "child");
  assert.deepEqual(
    child?.metadata.ownerReferences?.map((one) => one.name),
    ["staying"],
  );
});

test("an object goes with the last of its owners", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const [one, two] = [await add(api, "one"), await add(api, "two")];
  await add(api, "child", [ownedBy(one), ownedBy(two)]);
  await remove(api, "one", "Background");
  await settled(api);
  assert.notEqual(await find(api, "child"), undefined);
  await remove(api, "two", "Background");
  await gone(api, "child");
});

test("orphans lose their owner and stay", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const owner = await add(api, "owner");
  const names = Array.from({ length: 5 }, (_, index) => `child-${index}`);
  for (const name of names) await add(api, name, [ownedBy(owner)]);
  await settled(api);
  await remove(api, "owner", "Orphan");
  // Somebody else writes to them at the same time.
  await Promise.all(
    names.map(async (name) => await api.client.patch(resources.configmaps, "default", name, { data: { x: "1" } })),
  );
  await gone(api, "owner");
  await settled(api);
  for (const name of names) {
    const child = await find(api, name);
    assert.notEqual(child, undefined, name);
    assert.deepEqual(child?.metadata.ownerReferences ?? [], []);
  }
});

test("an owner that never was, or is another of the same name, keeps nothing; a kind nobody knows keeps all", async () => {
  await using api = await startTestApi();
  const owner = await add(api, "owner");
  await add(api, "absent", [{ apiVersion: "v1", kind: "ConfigMap", name: "nobody", uid: "a" }]);
  await add(api, "renamed", [ownedBy(owner, { uid: "of-an-earlier-one" })]);
  await add(api, "foreign", [{ apiVersion: "example.org/v1", kind: "Widget", name: "w", uid: "w" }]);
  // Made before the collector starts: it judges what it finds, too.
  await using _controller = running(api, make);
  for (const name of ["absent", "renamed"]) await gone(api, name);
  await settled(api);
  assert.notEqual(await find(api, "foreign"), undefined);
  assert.notEqual(await find(api, "owner"), undefined);
});

test("a cluster-scoped object whose owner would live in a namespace is left alone", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  await api.client.create(resources.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "odd", ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "x" }] },
  });
  await settled(api);
  assert.equal((await api.client.get(resources.namespaces, undefined, "odd")).metadata.deletionTimestamp, undefined);
});
