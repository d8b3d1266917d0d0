import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkError } from "../index.ts";
import { TestGuest } from "../testing/guest.ts";
import { TestHost } from "../testing/host.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { gatewayAddress, gatewayMacAddress, mtu, namespaceName, tapName } from "./names.ts";
import { namespacePath } from "./namespaces.ts";

const spec = interfaceSpec(vpcSpec("blue"), 2);

/** What `attach` would tell of `spec`. */
function tapOfSpec(host: TestHost) {
  const namespace = namespaceName(host.installation, spec.vpc.name, spec.vpc.uid);
  const names = { namespacePath: namespacePath(namespace), tapName: tapName(spec.id) };
  return { opened: Promise.resolve(), ...names, gatewayAddress, gatewayMacAddress, mtu };
}

test("a tap made ahead is the one that is attached, and nothing passes it before", async () => {
  await using host = await TestHost.create();
  await host.prepare(spec);
  assert.deepEqual(await host.list(), [spec.id]);
  await using guest = await TestGuest.start(spec, tapOfSpec(host));
  assert.equal(await guest.namespace.canPing(gatewayAddress), false);
  await host.attach(spec);
  // Its filter and its opening.
  assert.equal(host.lastSpawned, 2);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("a tap made ahead in a VPC that stands costs one program", async () => {
  await using host = await TestHost.create();
  await host.attach(interfaceSpec(vpcSpec("blue"), 3));
  await host.prepare(spec);
  assert.equal(host.lastSpawned, 1);
  await host.attach(spec);
  assert.equal(host.lastSpawned, 2);
});

test("a tap made ahead that nobody attaches goes as an interface does", async () => {
  await using host = await TestHost.create();
  await host.prepare(spec);
  await host.detach(spec.id);
  assert.deepEqual(await host.leftovers(), []);
});

test("a tap made ahead of a kill is found by the next start, and attached under the VM that has it", async () => {
  await using host = await TestHost.create();
  await host.prepare(spec);
  await using guest = await TestGuest.start(spec, tapOfSpec(host));
  await host.kill();
  await host.start();
  assert.deepEqual(await host.list(), [spec.id]);
  await host.attach(spec);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("a tap made ahead for another user is replaced", async () => {
  await using host = await TestHost.create();
  await host.prepare({ ...spec, userId: 200_999 });
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("what is attached already is left as it is", async () => {
  await using host = await TestHost.create();
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  await host.prepare(spec);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
  await host.kill();
  await host.start();
  await host.prepare(spec);
  await host.attach(spec);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("a tap made ahead has no address, and takes none from another", async () => {
  await using host = await TestHost.create();
  const other = { ...interfaceSpec(spec.vpc, 3), address: spec.address };
  await host.prepare(spec);
  await host.attach(other);
  await assert.rejects(host.attach(spec), (error) => error instanceof NetworkError && error.code === "AddressInUse");
  await host.detach(spec.id);
  assert.deepEqual(await host.list(), [other.id]);
});
