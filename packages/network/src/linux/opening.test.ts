import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename } from "node:path";
import { test } from "node:test";
import { CommandError, runCommand, silentLogger } from "@isopod/base";
import { createHostNetwork, type HostNetwork, NetworkError } from "../index.ts";
import { Gate } from "../testing/gate.ts";
import { TestGuest } from "../testing/guest.ts";
import { TestHost } from "../testing/host.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { gatewayAddress, gatewayMacAddress, mtu, namespaceName, tapName } from "./names.ts";
import { namespacePath } from "./namespaces.ts";

/** A host network whose programs can be held up; what it made is removed at the end. */
async function gatedNetwork(): Promise<
  AsyncDisposable & {
    readonly gate: Gate;
    readonly network: HostNetwork;
    namespaces(): Promise<readonly string[]>;
  }
> {
  const gate = new Gate();
  const installation = `t${randomBytes(4).toString("hex")}`;
  const network = await createHostNetwork({ installation, logger: silentLogger, run: gate.run });
  return {
    gate,
    network,
    namespaces: async () => (await readdir("/run/netns")).filter((name) => name.startsWith(`isopod-${installation}-`)),
    [Symbol.asyncDispose]: async () => {
      gate.open();
      for (const id of await network.list()) await network.detach(id);
    },
  };
}

const refusal = new CommandError("refused", { code: "CommandFailed", object: "nft", stderr: "No buffer space" });

test("nothing passes a tap before the packet filter holds, and a VM may have it open all the same", async () => {
  await using host = await gatedNetwork();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  host.gate.words = "nft -j -f";
  const attached = await host.network.attach(spec);
  await using guest = await TestGuest.start(spec, attached);
  await host.gate.arrival();
  assert.equal(await guest.namespace.canPing(gatewayAddress), false);
  const { stdout } = await runCommand("ip", ["-n", basename(attached.namespacePath), "link", "show", attached.tapName]);
  assert.match(stdout, /state DOWN/);
  host.gate.open();
  await attached.opened;
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("what joins a VPC that is open already is closed until the filter knows it", async () => {
  await using host = await gatedNetwork();
  const vpc = vpcSpec("blue");
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  const attachedA = await host.network.attach(specA);
  await attachedA.opened;
  await using a = await TestGuest.start(specA, attachedA);
  host.gate.words = "nft -j -f";
  const attachedB = await host.network.attach(specB);
  await using b = await TestGuest.start(specB, attachedB);
  await host.gate.arrival();
  assert.equal(await b.namespace.canPing(specA.address), false);
  assert.ok(await a.namespace.canPing(gatewayAddress));
  host.gate.open();
  await attachedB.opened;
  assert.ok(await b.namespace.canPing(specA.address));
});

test("detaching while an interface opens waits for that, and then leaves nothing", async () => {
  await using host = await gatedNetwork();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  host.gate.words = "nft -j -f";
  const { opened } = await host.network.attach(spec);
  await host.gate.arrival();
  const detached = host.network.detach(spec.id);
  const again = host.network.attach(spec);
  host.gate.open();
  await opened;
  await detached;
  await (await again).opened;
  assert.deepEqual(await host.network.list(), [spec.id]);
  await host.network.detach(spec.id);
  assert.deepEqual(await host.namespaces(), []);
});

test("an interface whose opening a kill cut off is opened under the VM that has it, after the next start", async () => {
  await using host = await TestHost.create();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  await host.kill();
  // One looks for what is there, two make namespace and tap; the fourth would be the packet filter.
  await host.start(3);
  await assert.rejects(host.attach(spec));
  const namespace = namespaceName(host.installation, spec.vpc.name, spec.vpc.uid);
  const attached = {
    opened: Promise.resolve(),
    namespacePath: namespacePath(namespace),
    tapName: tapName(spec.id),
    gatewayAddress,
    gatewayMacAddress,
    mtu,
  };
  await using guest = await TestGuest.start(spec, attached);
  assert.equal(await guest.namespace.canPing(gatewayAddress), false);
  await host.start();
  assert.deepEqual(await host.list(), [spec.id]);
  await host.attach(spec);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
  await host.detach(spec.id);
  assert.deepEqual(await host.leftovers(), []);
});

test("an interface that cannot be opened says so, leaves nothing, and can be attached again", async () => {
  await using host = await gatedNetwork();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  host.gate.words = "nft -j -f";
  const { opened } = await host.network.attach(spec);
  await host.gate.arrival();
  host.gate.open(refusal);
  await assert.rejects(opened, (error) => error instanceof NetworkError && error.code === "CommandFailed");
  assert.deepEqual(await host.namespaces(), []);
  const attached = await host.network.attach(spec);
  await attached.opened;
  await using guest = await TestGuest.start(spec, attached);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("an interface that cannot be opened takes no other with it", async () => {
  await using host = await gatedNetwork();
  const vpc = vpcSpec("blue");
  const [specA, specB, specC] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3), interfaceSpec(vpc, 4)];
  const attachedA = await host.network.attach(specA);
  await attachedA.opened;
  await using a = await TestGuest.start(specA, attachedA);
  host.gate.words = "nft -j -f";
  const { opened } = await host.network.attach(specB);
  await host.gate.arrival();
  host.gate.open(refusal);
  await assert.rejects(opened, NetworkError);
  assert.deepEqual(await host.network.list(), [specA.id]);
  const attachedC = await host.network.attach(specC);
  await attachedC.opened;
  await using _c = await TestGuest.start(specC, attachedC);
  assert.ok(await a.namespace.canPing(specC.address));
});

test("attaching waits for nobody who leaves the same VPC", async () => {
  await using host = await gatedNetwork();
  const vpc = vpcSpec("blue");
  const [specA, specB, specC] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3), interfaceSpec(vpc, 4)];
  await (await host.network.attach(specA)).opened;
  await (await host.network.attach(specB)).opened;
  host.gate.words = "link del";
  const detached = host.network.detach(specA.id);
  await host.gate.arrival();
  await (await host.network.attach(specC)).opened;
  host.gate.open();
  await detached;
  assert.deepEqual(await host.network.list(), [specB.id, specC.id]);
});

test("two that want one address at the same moment do not both get it", async () => {
  await using host = await gatedNetwork();
  const vpc = vpcSpec("blue");
  const spec = interfaceSpec(vpc, 2);
  await (await host.network.attach(interfaceSpec(vpc, 9))).opened;
  const outcomes = await Promise.allSettled([
    host.network.attach(spec),
    host.network.attach({ ...spec, id: "other", macAddress: "02:00:00:00:00:09" }),
  ]);
  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
});
