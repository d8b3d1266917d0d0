import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectGuest } from "./connect.ts";
import type { GuestClient } from "./guest-client.ts";
import { runScript } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

const mebibyte = 1024 * 1024;
let machine: TestMachine;
let client: GuestClient;

before(async () => {
  machine = await TestMachine.boot({ scratchMiB: 32 });
  client = await connectGuest({ socketPath: machine.socketPath, timeoutMs: 120_000 });
  await client.configure(testConfiguration);
});

after(async () => {
  await client?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

test("a container beyond its memory is killed as a whole and said to be", async () => {
  const ran = await runScript(client, "sleep 1000 & exec tail /dev/zero", { limits: { memoryBytes: 16 * mebibyte } });
  assert.equal(ran.state.exit?.isOomKilled, true);
  assert.equal(ran.exitCode, 137);
  const spec = containerSpec(["sleep", "1000"], { limits: { memoryBytes: 16 * mebibyte } });
  await client.startContainer(spec);
  await client.signalContainer(spec.id, "SIGKILL");
  assert.equal((await client.waitContainer(spec.id)).exit?.isOomKilled, false);
  await client.removeContainer(spec.id);
});

test("the pod's memory bounds what its containers use together", async () => {
  const ran = await runScript(client, "exec tail /dev/zero");
  assert.equal(ran.state.exit?.isOomKilled, true);
  assert.equal((await client.listContainers()).length, 0);
});

test("a container has no more processes than its limit", async () => {
  const fork = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; echo unbounded";
  const ran = await runScript(client, fork, { limits: { pids: 20 } });
  assert.doesNotMatch(ran.stdout, /unbounded/);
  assert.match(ran.stderr, /can't fork/);
});

test("a fork bomb ends with its container and the agent lives", async () => {
  const spec = containerSpec(["sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"], { limits: { pids: 100 } });
  await client.startContainer(spec);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await client.removeContainer(spec.id);
  assert.equal((await runScript(client, "echo alive")).stdout, "alive\n");
});

test("a CPU quota slows a container down and is counted", async () => {
  const spec = containerSpec(["sh", "-c", "while :; do :; done"], { limits: { cpuMilli: 100 } });
  const started = performance.now();
  await client.startContainer(spec);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const stats = (await client.stats()).containers.find((container) => container.id === spec.id);
  const elapsedMicros = (performance.now() - started) * 1000;
  // A tenth and what the start took; a host that is busy only makes it less.
  assert.ok(stats !== undefined && stats.cpuMicros < elapsedMicros / 2, JSON.stringify(stats));
  await client.removeContainer(spec.id);
});

test("statistics count a container's memory, processes and disk", async () => {
  const before = await client.stats();
  const spec = containerSpec(["sh", "-c", "head -c 4000000 /dev/zero > /big; sync; echo done; sleep 1000"]);
  await client.startContainer(spec);
  for await (const _ of client.output(spec.id, 0)) break;
  const after = await client.stats();
  const stats = after.containers.find((container) => container.id === spec.id);
  assert.ok(stats !== undefined && stats.pids >= 1 && stats.memoryPeakBytes > 0 && stats.cpuMicros > 0);
  assert.ok(before.scratchFreeBytes - after.scratchFreeBytes >= 3_900_000);
  await client.removeContainer(spec.id);
  assert.ok((await client.stats()).scratchFreeBytes > after.scratchFreeBytes + 3_900_000);
});

test("a full scratch disk is ENOSPC inside, and the agent lives", async () => {
  const spec = containerSpec(["sh", "-c", "cat /dev/zero > /fill; echo $?; sleep 1000"]);
  await client.startContainer(spec);
  const seen: string[] = [];
  for await (const chunk of client.output(spec.id, 0)) {
    seen.push(chunk.data.toString());
    if (chunk.stream === "stdout") break;
  }
  assert.match(seen.join(""), /No space left on device/);
  const other = await runScript(client, "echo alive").catch((error: { readonly code: string }) => error.code);
  assert.ok(other === "NoSpace" || (typeof other === "object" && other.stdout === "alive\n"), JSON.stringify(other));
  assert.equal((await client.info()).isConfigured, true);
  await client.removeContainer(spec.id);
  assert.equal((await runScript(client, "echo alive")).stdout, "alive\n");
});

test("a flood of output that nobody reads is bounded, waits, and is not lost", async () => {
  const lines = 400_000;
  const spec = containerSpec(["seq", "1", String(lines)]);
  await client.startContainer(spec);
  let last = -1;
  for (;;) {
    const { outputBytes } = (await client.listContainers())[0] ?? { outputBytes: 0 };
    if (outputBytes === last && outputBytes > 0) break;
    last = outputBytes;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(last <= mebibyte, `${last} bytes are held`);
  assert.equal((await client.listContainers())[0]?.phase, "running");
  let text = "";
  for await (const chunk of client.output(spec.id, 0)) {
    assert.equal(chunk.droppedBytes, 0);
    text += chunk.data.toString();
  }
  const numbers = text.trim().split("\n");
  assert.equal(numbers.length, lines);
  assert.equal(numbers.at(-1), String(lines));
  await client.removeContainer(spec.id);
});

test("a container that waits for its reader is removed, and its streams end", async () => {
  const spec = containerSpec(["yes"]);
  await client.startContainer(spec);
  const chunks = client.output(spec.id, 0)[Symbol.asyncIterator]();
  await chunks.next();
  await client.removeContainer(spec.id);
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next());
  assert.deepEqual(await client.listContainers(), []);
});

test("an offset beyond the output is refused", async () => {
  const spec = containerSpec(["echo", "x"]);
  await client.startContainer(spec);
  await client.waitContainer(spec.id);
  await assert.rejects(
    async () => {
      for await (const _ of client.output(spec.id, 99));
    },
    { code: "BadRequest" },
  );
  await client.removeContainer(spec.id);
});

test("power off ends the machine", async () => {
  await client.startContainer(containerSpec(["sleep", "1000"]));
  await client.powerOff();
  await machine.ended();
  await client.closed;
  await assert.rejects(client.info(), { code: "Disconnected" });
});
