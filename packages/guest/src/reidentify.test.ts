import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runCommand } from "@isopod/base";
import { connectGuest } from "./connect.ts";
import type { GuestReidentification } from "./contract.ts";
import type { GuestClient } from "./guest-client.ts";
import { execSpec, runExec, runScript } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

let machine: TestMachine;
let client: GuestClient;

const identity: GuestReidentification = {
  hostname: "pod-2",
  entropy: Buffer.alloc(64, 9).toString("base64"),
  epochMicros: testConfiguration.epochMicros + 3_600_000_000,
  network: {
    macAddress: "02:00:00:00:00:2b",
    address: "10.0.0.43",
    gatewayAddress: "169.254.1.1",
    gatewayMacAddress: "02:ff:00:00:00:01",
    mtu: 1450,
  },
  resolvConf: "nameserver 10.0.0.3\n",
  hosts: "127.0.0.1 localhost\n10.0.0.43 pod-2\n",
};

before(async () => {
  machine = await TestMachine.boot();
  client = await connectGuest({ socketPath: machine.socketPath, timeoutMs: 120_000 });
});

after(async () => {
  await client?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

test("the scratch disk is mounted, and all of it written, before the guest answers", async () => {
  const { stdout } = await runCommand("debugfs", ["-R", "ls -p /", join(machine.directory, "scratch.ext4")]);
  assert.match(stdout, /\/pod\//);
});

test("a guest that is not an instance yet has no identity to change", async () => {
  await assert.rejects(client.reidentify(identity), { code: "BadRequest" });
});

test("a running container finds itself on another instance, as often as that is said", async () => {
  await client.configure(testConfiguration);
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  const look = execSpec([
    "sh",
    "-c",
    "hostname; cat /etc/hostname /etc/resolv.conf; tail -n1 /etc/hosts; ip -4 addr show eth0 | grep inet; " +
      "cat /sys/class/net/eth0/address; ip route; ip neigh show nud permanent; date +%s",
  ]);
  const before = await runExec(client, spec.id, look);
  assert.match(before.output, /inet 10\.0\.0\.42\/32/);
  assert.match(before.output, /02:00:00:00:00:2a/);
  for (let turn = 0; turn < 2; turn++) {
    await client.reidentify(identity);
    const { output } = await runExec(client, spec.id, look);
    assert.match(output, /^pod-2\npod-2\nnameserver 10\.0\.0\.3\n10\.0\.0\.43 pod-2\n/);
    assert.equal(output.match(/inet /g)?.length, 1, output);
    assert.match(output, /inet 10\.0\.0\.43\/32/);
    assert.match(output, /^02:00:00:00:00:2b$/m);
    assert.match(output, /^default via 169\.254\.1\.1 dev eth0/m);
    assert.match(output, /^169\.254\.1\.1 dev eth0 lladdr 02:ff:00:00:00:01/m);
    const seconds = Number(output.trim().split("\n").at(-1));
    assert.ok(seconds >= identity.epochMicros / 1e6 && seconds < identity.epochMicros / 1e6 + 3000, output);
  }
  assert.equal((await client.listContainers())[0]?.phase, "running");
  assert.equal((await runScript(client, "hostname")).stdout, "pod-2\n");
  await client.removeContainer(spec.id);
});

test("another gateway takes the old one's place, and no network is none", async () => {
  const network = {
    macAddress: "02:00:00:00:00:2c",
    address: "10.0.0.44",
    gatewayAddress: "169.254.7.7",
    gatewayMacAddress: "02:ff:00:00:00:07",
    mtu: 1400,
  };
  const script = "ip -4 addr show eth0; ip route; ip neigh show nud permanent; cat /sys/class/net/eth0/mtu";
  await client.reidentify({ ...identity, network });
  const other = (await runScript(client, script)).stdout;
  assert.match(other, /default via 169\.254\.7\.7 dev eth0/);
  assert.doesNotMatch(other, /169\.254\.1\.1/);
  assert.match(other, /^1400$/m);
  const { network: _, ...alone } = identity;
  await client.reidentify(alone);
  const none = (await runScript(client, script)).stdout;
  assert.doesNotMatch(none, /inet|default/);
  await client.reidentify(identity);
  assert.match((await runScript(client, script)).stdout, /default via 169\.254\.1\.1 dev eth0/);
  await assert.rejects(client.reidentify({ ...identity, hostname: "a b" }), { code: "BadRequest" });
});
