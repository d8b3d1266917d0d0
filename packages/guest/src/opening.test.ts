import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectGuest, greetGuest } from "./connect.ts";
import type { ContainerStarted } from "./contract.ts";
import type { GuestClient } from "./guest-client.ts";
import type { GuestStart } from "./opening.ts";
import { looking } from "./testing/looking.ts";
import { execSpec, runExec, runScript } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

const timeoutMs = 120_000;
let machine: TestMachine;
let client: GuestClient;

async function startOn(
  to: TestMachine,
  start: GuestStart,
): Promise<{ readonly client: GuestClient; readonly started: ContainerStarted }> {
  return await (await greetGuest({ socketPath: to.socketPath, timeoutMs })).start(start);
}

async function outputOf(id: string): Promise<string> {
  let text = "";
  for await (const chunk of client.output(id, 0)) text += chunk.data.toString();
  return text;
}

const first = looking();
let seen: string;

before(async () => {
  machine = await TestMachine.fork();
  const files = [{ path: "key", mode: 0o644, content: Buffer.from("value").toString("base64") }];
  const answer = await startOn(machine, {
    configuration: { ...testConfiguration, limits: { ...testConfiguration.limits, cpuMilli: 900 } },
    volumes: [
      { name: "disk", source: { type: "empty", medium: "disk" } },
      { name: "files", source: { type: "files", files } },
    ],
    container: first,
  });
  client = answer.client;
  assert.equal(answer.started.id, first.id);
  assert.ok(["entropy", "network", "files", "exec"].every((stage) => stage in answer.started.stageMicros));
  seen = await outputOf(first.id);
});

after(async () => {
  await client?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

test("the first container of a fork sees the image that came behind the placeholder, and is looked after", async () => {
  assert.match(seen, /pod-1\n127\.0\.0\.1 localhost/);
  const state = await client.waitContainer(first.id);
  assert.deepEqual([state.exit?.exitCode, state.exit?.terminationMessage], [0, "said\n"]);
  assert.equal(state.outputBytes, Buffer.byteLength(seen));
  assert.equal(await outputOf(first.id), seen);
  await client.removeContainer(first.id);
});

test("a container that is made when it is asked for differs in nothing from the one prepared before the fork", async () => {
  const later = looking();
  await client.startContainer(later);
  assert.equal(await outputOf(later.id), seen);
  await client.removeContainer(later.id);
});

test("an instance is started once", async () => {
  const start = { configuration: testConfiguration, volumes: [], container: looking() };
  await client[Symbol.asyncDispose]();
  await assert.rejects(startOn(machine, start), { code: "AlreadyExists" });
  client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  assert.equal((await client.info()).isConfigured, true);
});

test("identity that the host has looked up is taken as it is", async () => {
  const identity = { uid: 77, gid: 78, groups: [78, 79], home: "/there" };
  const script = "id -u; id -g; id -G; echo $HOME; echo $0 > /dev/stdout";
  const ran = await runScript(client, script, { user: "not-in-the-image", identity });
  assert.equal(ran.stdout, "77\n78\n78 79\n/there\nsh\n");
  const spec = containerSpec(["sleep", "1000"], { user: "not-in-the-image", identity });
  await client.startContainer(spec);
  assert.equal((await runExec(client, spec.id, execSpec(["id", "-u"]))).output, "77\n");
  assert.equal((await runExec(client, spec.id, execSpec(["id", "-u"], { user: "web" }))).output, "33\n");
  await client.removeContainer(spec.id);
});

test("the termination message is found wherever it was asked for, and its usual place is then free", async () => {
  const there = await runScript(client, "ls /dev/termination-log; echo -n why > /var/data/message", {
    terminationMessagePath: "/var/data/message",
  });
  assert.equal(there.state.exit?.terminationMessage, "why");
  assert.match(there.stderr, /No such file/);
  const covered = await runScript(client, "echo -n why > /dev/termination-log", {
    terminationMessagePath: "/dev/termination-log",
    mounts: [{ volume: "disk", path: "/dev", isReadOnly: false }],
  });
  assert.equal(covered.state.exit?.terminationMessage, "why");
  const none = await runScript(client, "ls /dev/termination-log; grep -c termination /proc/mounts");
  assert.equal(none.stdout, "0\n");
});

test("a refused start leaves a machine that can be asked why, and started otherwise", async () => {
  await using other = await TestMachine.boot();
  const start = { configuration: testConfiguration, volumes: [], container: containerSpec(["nonsense"]) };
  await assert.rejects(startOn(other, start), { code: "CommandNotFound" });
  await using its = await connectGuest({ socketPath: other.socketPath, timeoutMs });
  assert.equal((await its.info()).isConfigured, true);
  assert.deepEqual(await its.listContainers(), []);
  assert.equal((await runScript(its, "echo hello")).stdout, "hello\n");
});

test("a host that goes in the middle of a first container's output misses none of it", async () => {
  await using other = await TestMachine.boot();
  const lines = 40_000;
  const container = containerSpec(["sh", "-c", `seq 1 ${lines}; exec sleep 1000`]);
  const start = { configuration: testConfiguration, volumes: [], container };
  const { client: gone } = await startOn(other, start);
  let text = "";
  let offset = 0;
  for await (const chunk of gone.output(container.id, 0)) {
    text += chunk.data.toString();
    offset = chunk.nextOffset;
    if (text.length > 10_000) break;
  }
  await gone[Symbol.asyncDispose]();
  await using its = await connectGuest({ socketPath: other.socketPath, timeoutMs });
  for await (const chunk of its.output(container.id, offset)) {
    assert.equal(chunk.droppedBytes, 0);
    text += chunk.data.toString();
    if (text.endsWith(`\n${lines}\n`)) break;
  }
  assert.equal(text, `${Array.from({ length: lines }, (_, index) => index + 1).join("\n")}\n`);
});

test("other calls go on beside a first container that floods, waits or says nothing", async () => {
  for (const script of ["yes", "exec sleep 1000", "exit 3"]) {
    await using other = await TestMachine.boot();
    const container = containerSpec(["sh", "-c", script]);
    const start = { configuration: testConfiguration, volumes: [], container };
    const { client: its } = await startOn(other, start);
    const ended = its.waitContainer(container.id);
    assert.equal((await its.info()).isConfigured, true, script);
    assert.equal((await runScript(its, "echo hello")).stdout, "hello\n");
    if (script !== "exit 3") await its.signalContainer(container.id, "SIGKILL");
    assert.equal((await ended).exit?.exitCode, script === "exit 3" ? 3 : 137);
    await its[Symbol.asyncDispose]();
  }
});
