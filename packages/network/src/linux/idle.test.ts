import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { access, readdir } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand, silentLogger } from "@isopod/base";
import { createHostNetwork, type HostNetwork } from "../index.ts";
import { TestGuest } from "../testing/guest.ts";
import { interfaceSpec, vpcSpec } from "../testing/specs.ts";
import { CommandShells, type RunCommand } from "./command-shells.ts";
import { gatewayAddress } from "./names.ts";

/** A host network whose routers stand for a while, the programs it ran, and what of it is on the host. */
async function idleNetwork(idleMs: number): Promise<
  AsyncDisposable & {
    readonly network: HostNetwork;
    readonly programs: string[];
    /** From now on called before each program is run, which fails as this does. */
    beforeEach(hook: (input: string) => Promise<void>): void;
    namespaces(): Promise<readonly string[]>;
  }
> {
  const installation = `t${randomBytes(4).toString("hex")}`;
  const shells = new CommandShells();
  const programs: string[] = [];
  let before = async (_input: string): Promise<void> => {};
  const run: RunCommand = async (program, args, options) => {
    programs.push(program);
    await before(options?.input ?? "");
    return await shells.run(program, args, options);
  };
  const network = await createHostNetwork({ installation, logger: silentLogger, run, idleMs });
  return {
    network,
    programs,
    beforeEach: (hook) => {
      before = hook;
    },
    namespaces: async () => (await readdir("/run/netns")).filter((name) => name.startsWith(`isopod-${installation}-`)),
    [Symbol.asyncDispose]: async () => {
      for (const id of await network.list()) await network.detach(id);
      await network[Symbol.asyncDispose]();
    },
  };
}

test("the next instance of a VPC that was left finds its router, and nothing of the one before", async () => {
  await using host = await idleNetwork(600_000);
  const vpc = vpcSpec("blue");
  const [before, next] = [interfaceSpec(vpc, 2), interfaceSpec(vpc, 3)];
  const { namespacePath, opened } = await host.network.attach(before);
  await opened;
  await host.network.detach(before.id);
  assert.deepEqual(await host.network.list(), []);
  const inside = ["--net=" + namespacePath];
  const { stdout: links } = await runCommand("nsenter", [...inside, "ip", "-o", "link"]);
  assert.doesNotMatch(links, /tap/);
  const { stdout: filter } = await runCommand("nsenter", [...inside, "nft", "list", "ruleset"]);
  assert.match(filter, /policy drop/);
  assert.ok(!filter.includes(before.address));

  host.programs.length = 0;
  const attached = await host.network.attach(next);
  await attached.opened;
  assert.ok(host.programs.length <= 3, host.programs.join(" "));
  await using guest = await TestGuest.start(next, attached);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("an interface that was attached again is as open as the first time", async () => {
  await using host = await idleNetwork(600_000);
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  await (await host.network.attach(spec)).opened;
  await host.network.detach(spec.id);
  const attached = await host.network.attach(spec);
  await attached.opened;
  await using guest = await TestGuest.start(spec, attached);
  assert.ok(await guest.namespace.canPing(gatewayAddress));
});

test("a router that no interface comes to goes when its time is over, and one with an interface stays", async () => {
  await using host = await idleNetwork(50);
  const [blue, green] = [interfaceSpec(vpcSpec("blue"), 2), interfaceSpec(vpcSpec("green"), 2)];
  const left = await host.network.attach(blue);
  await left.opened;
  const stays = await host.network.attach(green);
  await stays.opened;
  await host.network.detach(blue.id);
  while ((await host.namespaces()).length > 1) await sleep(20);
  await assert.rejects(access(left.namespacePath));
  await access(stays.namespacePath);
});

test("at its end a host network removes the routers without an interface, and no other", async () => {
  const host = await idleNetwork(600_000);
  const [blue, green] = [interfaceSpec(vpcSpec("blue"), 2), interfaceSpec(vpcSpec("green"), 2)];
  const left = await host.network.attach(blue);
  await left.opened;
  const stays = await host.network.attach(green);
  await stays.opened;
  await host.network.detach(blue.id);
  assert.equal((await host.namespaces()).length, 2);
  await host.network[Symbol.asyncDispose]();
  await assert.rejects(access(left.namespacePath));
  assert.equal((await host.namespaces()).length, 1);
  assert.deepEqual(await host.network.list(), [green.id]);
  await host[Symbol.asyncDispose]();
  assert.deepEqual(await host.namespaces(), []);
});

test("the end of a host network waits for a router that is being removed", async () => {
  await using host = await idleNetwork(1);
  const spec = interfaceSpec(vpcSpec("blue"), 2);
  await (await host.network.attach(spec)).opened;
  const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  host.beforeEach(async (input) => {
    if (!input.includes("netns del")) return;
    begun.resolve();
    await goOn.promise;
  });
  await host.network.detach(spec.id);
  await begun.promise;
  let isOver = false;
  const over = host.network[Symbol.asyncDispose]().then(() => {
    isOver = true;
  });
  await sleep(50);
  assert.equal(isOver, false);
  goOn.resolve();
  await over;
  assert.deepEqual(await host.namespaces(), []);
});

test("a router that cannot be removed at the end is told of when all others are", async () => {
  await using host = await idleNetwork(600_000);
  const [blue, green] = [interfaceSpec(vpcSpec("blue"), 2), interfaceSpec(vpcSpec("green"), 2)];
  for (const spec of [blue, green]) {
    await (await host.network.attach(spec)).opened;
    await host.network.detach(spec.id);
  }
  host.beforeEach(async (input) => {
    if (!input.includes("netns del")) return;
    if (input.includes("-blue-")) throw new Error("the namespace is busy");
    await sleep(100);
  });
  await assert.rejects(host.network[Symbol.asyncDispose](), /the namespace is busy/);
  assert.deepEqual(
    (await host.namespaces()).map((name) => name.includes("-blue-")),
    [true],
  );
  host.beforeEach(async () => {});
  await (await host.network.attach(blue)).opened;
});
