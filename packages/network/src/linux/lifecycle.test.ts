import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { systemErrorCode } from "@isopod/base";
import { createHostNetwork, NetworkError } from "../index.ts";
import { TestGuest } from "../testing/guest.ts";
import { TestHost } from "../testing/host.ts";
import { TestNamespace } from "../testing/namespace.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { HostCommands } from "./host-commands.ts";
import { portOf } from "./port.ts";
import { vpcRuleset } from "./vpc-ruleset.ts";

const hasCode = (code: string) => (error: unknown) => {
  assert.ok(error instanceof NetworkError, String(error));
  assert.equal(error.code, code);
  assert.equal(error.stage, "network");
  return true;
};

test("an attached interface is listed until it is detached, and the last takes the namespace with it", async () => {
  await using host = await TestHost.create();
  const [blue, green] = [vpcSpec("blue"), vpcSpec("green")];
  const specs = [interfaceSpec(blue, 2), interfaceSpec(blue, 3), interfaceSpec(green, 2)];
  for (const spec of specs) await host.attach(spec);
  assert.deepEqual(await host.list(), ["blue/2", "blue/3", "green/2"]);
  await host.detach("blue/2");
  await host.detach("blue/2");
  await host.detach("never-heard-of");
  assert.deepEqual(await host.list(), ["blue/3", "green/2"]);
  assert.equal((await host.leftovers()).length, 2);
  await host.detach("blue/3");
  await host.detach("green/2");
  assert.deepEqual(await host.leftovers(), []);
});

test("the first interface of a VPC costs at most four programs, each further one three", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  await host.attach(interfaceSpec(vpc, 2));
  assert.ok(host.lastSpawned <= 4, String(host.lastSpawned));
  await host.attach(interfaceSpec(vpc, 3));
  assert.equal(host.lastSpawned, 3);
  await host.detach(interfaceSpec(vpc, 3).id);
  assert.equal(host.lastSpawned, 2);
});

test("attaching again changes nothing under a running instance, before and after a restart", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  const attached = await host.attach(specA);
  await using a = await TestGuest.start(specA, attached);
  await using _b = await TestGuest.start(specB, await host.attach(specB));
  assert.deepEqual(await host.attach(specA), attached);
  assert.ok(await a.namespace.canPing(specB.address));
  await host.kill();
  await host.start();
  assert.deepEqual(await host.list(), [specA.id, specB.id]);
  assert.deepEqual(await host.attach(specA), attached);
  assert.ok(await a.namespace.canPing(specB.address));
});

test("an interface goes at once although its VM still has it open, and comes back", async () => {
  await using host = await TestHost.create();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  {
    await using _running = await TestGuest.start(spec, await host.attach(spec));
    await host.detach(spec.id);
    assert.deepEqual(await host.leftovers(), []);
    await host.attach(spec);
  }
  await using guest = await TestGuest.start(spec, await host.attach(spec));
  assert.ok(await guest.namespace.canPing("169.254.1.1"));
});

test("a packet filter of a thousand interfaces is applied as one", async () => {
  await using namespace = await TestNamespace.create();
  const ports = Array.from({ length: 1000 }, (_, index) => {
    const number = index + 2;
    return portOf({
      ...interfaceSpec(vpcSpec("blue"), 2),
      id: `i${number}`,
      address: `10.64.${number >> 8}.${number & 255}`,
    });
  });
  await new HostCommands().nft("testing", "blue", vpcRuleset(ports, "100.64.0.1"), namespace.name);
  const listed = await namespace.run("nft", "list", "set", "inet", "isopod", "destinations");
  assert.equal(listed.match(/10\.64\.\d+\.\d+/g)?.length, 1000);
});

test("the same interface with another address or user is replaced", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const spec = interfaceSpec(vpc, 2);
  await host.attach(spec);
  const moved = { ...spec, address: "10.64.0.9", userId: 200_999 };
  const attached = await host.attach(moved);
  await using guest = await TestGuest.start(moved, attached);
  await using other = await TestGuest.start(interfaceSpec(vpc, 3), await host.attach(interfaceSpec(vpc, 3)));
  assert.ok(await other.namespace.canPing("10.64.0.9"));
  assert.equal(await other.namespace.canPing(spec.address), false);
  assert.ok(guest);
  assert.deepEqual(await host.list(), [spec.id, "blue/3"]);
});

test("an address belongs to one interface of a VPC, also after a restart", async () => {
  await using host = await TestHost.create();
  const vpc = vpcSpec("blue");
  const spec = interfaceSpec(vpc, 2);
  await host.attach(spec);
  const thief = { ...spec, id: "thief" };
  await assert.rejects(host.attach(thief), hasCode("AddressInUse"));
  await host.kill();
  await host.start();
  await assert.rejects(host.attach(thief), hasCode("AddressInUse"));
  assert.deepEqual(await host.list(), [spec.id]);
  await host.detach(spec.id);
  await host.attach(thief);
  assert.deepEqual(await host.list(), ["thief"]);
});

test("twenty interfaces attached and detached at once all work", async () => {
  await using host = await TestHost.create();
  const [blue, green] = [vpcSpec("blue"), vpcSpec("green")];
  const specs = Array.from({ length: 20 }, (_, index) => interfaceSpec(index % 2 === 0 ? blue : green, index + 2));
  const attached = await Promise.all(specs.map(async (spec) => await host.attach(spec)));
  assert.equal((await host.list()).length, 20);
  const [specA, specB] = [specs[0], specs[18]];
  const [attachedA, attachedB] = [attached[0], attached[18]];
  assert.ok(specA && specB && attachedA && attachedB);
  {
    await using a = await TestGuest.start(specA, attachedA);
    await using _b = await TestGuest.start(specB, attachedB);
    assert.ok(await a.namespace.canPing(specB.address));
  }
  await Promise.all(specs.map(async (spec) => await host.detach(spec.id)));
  assert.deepEqual(await host.leftovers(), []);
});

test("attach and detach of one VPC's only interface may chase each other", async () => {
  await using host = await TestHost.create();
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  const calls = Array.from({ length: 12 }, async (_, index) => {
    if (index % 2 === 0) await host.attach(spec);
    else await host.detach(spec.id);
  });
  await Promise.all(calls);
  assert.deepEqual(await host.leftovers(), []);
});

test("whatever program a kill interrupts, the next start attaches again and leaves nothing after detaching", async () => {
  await using outside = await TestNamespace.create();
  await using host = await TestHost.create();
  await host.namespace.connect("up0", "198.51.100.1/24", outside, "198.51.100.2/24");
  await host.namespace.ip("route add default via 198.51.100.2");
  const vpc = vpcSpec("blue", true);
  const [specA, specB] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  let kills = 0;
  for (let callsLeft = 1; ; callsLeft++) {
    await host.kill();
    await host.start(callsLeft);
    const isAttached = await host.attach(specA).then(
      () => true,
      () => false,
    );
    await host.kill();
    if (isAttached) break;
    kills += 1;
    await host.start();
    assert.deepEqual(
      (await host.list()).filter((id) => id !== specA.id),
      [],
    );
    const attachedA = await host.attach(specA);
    const attachedB = await host.attach(specB);
    {
      await using a = await TestGuest.start(specA, attachedA);
      await using _b = await TestGuest.start(specB, attachedB);
      assert.ok(await a.namespace.canPing(specB.address), `after ${callsLeft} programs`);
      assert.ok(await a.namespace.canPing("198.51.100.2"), `after ${callsLeft} programs`);
    }
    await host.detach(specB.id);
    await host.detach(specA.id);
    assert.deepEqual(await host.leftovers(), [], `after ${callsLeft} programs`);
  }
  assert.ok(kills >= 5, String(kills));
});

test("a start removes what was never finished", async () => {
  await using host = await TestHost.create();
  await host.kill();
  await host.start(2);
  // The third program makes the tap: half of its lines leave one without its record.
  await assert.rejects(host.attach(interfaceSpec(vpcSpec("blue"), 2)));
  assert.equal((await host.leftovers()).length, 1);
  await host.kill();
  await host.start();
  assert.deepEqual(await host.list(), []);
  assert.deepEqual(await host.leftovers(), []);
});

test("an interface that does not fit its VPC is refused before anything is made", async () => {
  await using host = await TestHost.create();
  const good = interfaceSpec(vpcSpec("blue"), 2);
  const bad = [
    { ...good, id: "a b" },
    { ...good, address: "10.65.0.2" },
    { ...good, address: "10.64.0.0" },
    { ...good, address: "10.64.255.255" },
    { ...good, address: "10.64.0.2; reboot" },
    { ...good, macAddress: "01:00:00:00:00:01" },
    { ...good, macAddress: "nonsense" },
    { ...good, userId: 0 },
    { ...good, vpc: { ...good.vpc, name: "../etc" } },
    { ...good, vpc: { ...good.vpc, cidr: "169.254.0.0/16" } },
    { ...good, vpc: { ...good.vpc, cidr: "100.64.0.0/24", hasNat: true }, address: "100.64.0.2" },
  ];
  for (const spec of bad) await assert.rejects(host.attach(spec), hasCode("InvalidSpec"), JSON.stringify(spec));
  assert.deepEqual(await host.leftovers(), []);
});

test("without root the refusal says what to do", () => {
  const script = `
    import { createHostNetwork } from ${JSON.stringify(import.meta.resolve("../index.ts"))};
    import { silentLogger } from "@isopod/base";
    process.seteuid(65534);
    await createHostNetwork({ installation: "x", logger: silentLogger }).catch((error) => console.log(error.code, error.remedy));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  assert.match(output, /^NotPermitted .*root/);
});

test("a missing program is named with the package that has it", async () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nonexistent";
  try {
    const { silentLogger } = await import("@isopod/base");
    await assert.rejects(createHostNetwork({ installation: "x", logger: silentLogger }), (error) => {
      assert.ok(error instanceof NetworkError);
      assert.equal(error.code, "MissingProgram");
      assert.match(error.remedy ?? "", /nftables/);
      assert.equal(systemErrorCode(error), "ENOENT");
      return true;
    });
  } finally {
    process.env["PATH"] = path;
  }
});
