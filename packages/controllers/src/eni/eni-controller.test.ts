import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AddressClaim,
  addressClaimName,
  isopodApiVersion,
  type NetworkInterface,
  type Pod,
  resources,
  vpcAnnotation,
} from "@isopod/api";
import { KubeClient } from "@isopod/client";
import { running } from "../testing/running.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { EniController } from "./eni-controller.ts";

const make = (options: ConstructorParameters<typeof EniController>[0]) => new EniController(options);

async function addVpc(api: TestApi, name: string, cidr: string): Promise<void> {
  await api.client.create(resources.vpcs, {
    apiVersion: isopodApiVersion,
    kind: "VPC",
    metadata: { name },
    spec: { cidr },
  });
}

async function addPod(api: TestApi, name: string, vpc = "default"): Promise<Pod> {
  return await api.client.create(resources.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", annotations: { [vpcAnnotation]: vpc } },
    spec: { containers: [{ name: "c", image: "busybox" }] },
  });
}

/** As the node agent and the meter let a pod go. */
async function removePod(api: TestApi, name: string): Promise<void> {
  await api.client.delete(resources.pods, "default", name, { body: { gracePeriodSeconds: 0 } });
  await api.client.patch(resources.pods, "default", name, { metadata: { finalizers: null } });
}

async function endPod(api: TestApi, name: string): Promise<void> {
  await api.client.patch(
    resources.pods,
    "default",
    name,
    { status: { phase: "Succeeded" } },
    { subresource: "status" },
  );
}

async function interfaces(api: TestApi): Promise<readonly NetworkInterface[]> {
  return (await api.client.list(resources.networkinterfaces)).items;
}

async function claims(api: TestApi): Promise<readonly AddressClaim[]> {
  return (await api.client.list(resources.addressclaims)).items;
}

const interfaceOf = async (api: TestApi, pod: Pod): Promise<NetworkInterface> =>
  await waitUntil(`${pod.metadata.name} has its interface`, async () => {
    return (await interfaces(api)).find((one) => one.spec.podUID === pod.metadata.uid);
  });

const told = async (api: TestApi, pod: Pod, message: RegExp): Promise<void> => {
  await waitUntil(`${pod.metadata.name} is told ${String(message)}`, async () => {
    const { items } = await api.client.list(resources.events);
    return items.some(
      (one) =>
        one.type === "Warning" &&
        one.reason === "FailedCreateInterface" &&
        one.involvedObject.uid === pod.metadata.uid &&
        message.test(one.message ?? ""),
    );
  });
};

test("a burst of pods gets interfaces with addresses that are all different and all claimed", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  await using _controller = running(api, make);
  await Promise.all(Array.from({ length: 100 }, async (_, index) => await addPod(api, `p${index}`)));
  const found = await waitUntil("every pod has an interface", async () => {
    const all = await interfaces(api);
    return all.length >= 100 && all;
  });
  assert.equal(found.length, 100);
  assert.equal(new Set(found.map((one) => one.spec.address)).size, 100);
  assert.equal(new Set(found.map((one) => one.spec.macAddress)).size, 100);
  const held = (await claims(api)).map((one) => `${one.spec.address} ${one.spec.interface.uid}`);
  assert.deepEqual(held.toSorted(), found.map((one) => `${one.spec.address} ${one.spec.podUID}`).toSorted());
  const [first] = found;
  assert.equal(first?.metadata.ownerReferences?.[0]?.uid, first?.spec.podUID);
});

test("an interface is made once, although its claim is heard of before it", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  const made: string[] = [];
  await using _controller = running(api, (options) => {
    const create: KubeClient["create"] = async (resource, object, more) => {
      if (resource.kind === "NetworkInterface") made.push(object.metadata.name);
      return await options.client.create(resource, object, more);
    };
    const client = new Proxy(options.client, {
      get: (target, name) => {
        if (name === "create") return create;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    return make({ ...options, client });
  });
  const names = Array.from({ length: 20 }, (_, index) => `p${index}`);
  for (const name of names) await interfaceOf(api, await addPod(api, name));
  // Two writes of the controller later, all that the first ones set off is done.
  await interfaceOf(api, await addPod(api, "last"));
  assert.deepEqual(made, [...names, "last"]);
});

test("two VPCs use the same addresses without meeting", async () => {
  await using api = await startTestApi();
  for (const name of ["one", "two"]) await addVpc(api, name, "10.0.0.0/28");
  await using _controller = running(api, make);
  const [a, b] = [await addPod(api, "a", "one"), await addPod(api, "b", "two")];
  assert.equal((await interfaceOf(api, a)).spec.vpc, "one");
  assert.equal((await interfaceOf(api, b)).spec.vpc, "two");
});

test("a finished pod gives back interface and address, and so does one that is gone", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  await using _controller = running(api, make);
  const [a, b, kept] = [await addPod(api, "a"), await addPod(api, "b"), await addPod(api, "kept")];
  for (const pod of [a, b, kept]) await interfaceOf(api, pod);
  await endPod(api, "a");
  await removePod(api, "b");
  await waitUntil("one claim is left", async () => (await claims(api)).length === 1);
  assert.deepEqual(
    (await interfaces(api)).map((one) => one.metadata.name),
    ["kept"],
  );
});

test("an address is free only once its interface is gone, however long something holds that", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/28");
  await using _controller = running(api, make);
  const eni = await interfaceOf(api, await addPod(api, "a"));
  const name = addressClaimName("default", eni.spec.address);
  await api.client.patch(resources.networkinterfaces, "default", "a", { metadata: { finalizers: ["test.dev/tap"] } });
  await removePod(api, "a");
  await waitUntil("the interface is being deleted", async () => {
    const [one] = await interfaces(api);
    return one?.metadata.deletionTimestamp !== undefined;
  });
  // Twelve of thirteen addresses are free: the thirteenth pod has to wait.
  await Promise.all(Array.from({ length: 13 }, async (_, index) => await addPod(api, `p${index}`)));
  await waitUntil("twelve have theirs", async () => (await interfaces(api)).length === 13);
  assert.equal((await api.client.get(resources.addressclaims, undefined, name)).spec.interface.name, "a");
  await api.client.patch(resources.networkinterfaces, "default", "a", { metadata: { finalizers: null } });
  const all = await waitUntil("the thirteenth has the address", async () => {
    const found = await interfaces(api);
    return found.some((one) => one.metadata.name !== "a" && one.spec.address === eni.spec.address) && found;
  });
  assert.equal(new Set(all.map((one) => one.spec.address)).size, 13);
});

test("a pod made anew under the same name gets an interface of its own", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  await using _controller = running(api, make);
  const first = await interfaceOf(api, await addPod(api, "a"));
  await removePod(api, "a");
  const second = await addPod(api, "a");
  const eni = await interfaceOf(api, second);
  assert.notEqual(eni.metadata.uid, first.metadata.uid);
  await waitUntil("only its claim is left", async () => (await claims(api)).length === 1);
  assert.equal((await claims(api))[0]?.spec.interface.uid, second.metadata.uid);
});

test("after a crash between claim and interface the pod gets the address it had claimed", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  const pod = await addPod(api, "a");
  const address = "10.64.7.7";
  const claim = (podName: string, uid: string, of: string): AddressClaim => ({
    apiVersion: isopodApiVersion,
    kind: "AddressClaim",
    metadata: { name: addressClaimName("default", of) },
    spec: { vpc: "default", address: of, interface: { namespace: "default", name: podName, uid } },
  });
  await api.client.create(resources.addressclaims, claim("a", pod.metadata.uid ?? "", address));
  // Claims whose pod is gone, or was made anew meanwhile, are freed.
  await api.client.create(resources.addressclaims, claim("gone", "some-uid", "10.64.7.8"));
  await api.client.create(resources.addressclaims, claim("a", "an-older-uid", "10.64.7.9"));
  await using _controller = running(api, make);
  assert.equal((await interfaceOf(api, pod)).spec.address, address);
  await waitUntil("the others are freed", async () => (await claims(api)).length === 1);
});

test("an interface whose creation answered with a broken connection keeps its address", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/28");
  using client = new KubeClient(api.config);
  const json = client.transport.json.bind(client.transport);
  let lost = 0;
  client.transport.json = async (method, path, options) => {
    const answer = await json(method, path, options);
    const isCreate = method === "POST" && /networkinterfaces$|addressclaims$/.test(path);
    if (isCreate && lost++ % 2 === 0) throw new Error("the connection broke after the server had answered");
    return answer;
  };
  await using _controller = running({ client }, make);
  await Promise.all(Array.from({ length: 8 }, async (_, index) => await addPod(api, `p${index}`)));
  await waitUntil("every pod has an interface, and no claim is left over", async () => {
    return (await interfaces(api)).length === 8 && (await claims(api)).length === 8;
  });
  const pairs = (list: readonly string[]): readonly string[] => list.toSorted();
  assert.deepEqual(
    pairs((await claims(api)).map((one) => `${one.spec.interface.name} ${one.spec.address}`)),
    pairs((await interfaces(api)).map((one) => `${one.metadata.name} ${one.spec.address}`)),
  );
});

test("a pod of a VPC without room is told so, and gets the first address that is given back", async () => {
  await using api = await startTestApi();
  await addVpc(api, "small", "10.0.0.0/28");
  await using _controller = running(api, make);
  const first = await Promise.all(
    Array.from({ length: 13 }, async (_, index) => await addPod(api, `p${index}`, "small")),
  );
  for (const pod of first) await interfaceOf(api, pod);
  const late = await addPod(api, "late", "small");
  await told(api, late, /VPC "small" \(10\.0\.0\.0\/28\) has no free address/);
  await removePod(api, "p3");
  await interfaceOf(api, late);
});

test("a pod of a VPC that does not exist is told so, and gets its interface when the VPC comes", async () => {
  await using api = await startTestApi();
  await using _controller = running(api, make);
  const pod = await addPod(api, "a", "absent");
  await told(api, pod, /VPC "absent" does not exist/);
  await addVpc(api, "absent", "10.0.0.0/24");
  assert.match((await interfaceOf(api, pod)).spec.address, /^10\.0\.0\./);
});

test("a controller that starts late catches up with what came and went", async () => {
  await using api = await startTestApi();
  await addVpc(api, "default", "10.64.0.0/16");
  {
    await using _controller = running(api, make);
    await interfaceOf(api, await addPod(api, "old"));
  }
  await removePod(api, "old");
  const fresh = await addPod(api, "fresh");
  await using _controller = running(api, make);
  await interfaceOf(api, fresh);
  await waitUntil("what is left belongs to the new pod", async () => {
    const [enis, held] = [await interfaces(api), await claims(api)];
    return enis.length === 1 && held.length === 1 && held[0]?.spec.interface.uid === fresh.metadata.uid;
  });
});
