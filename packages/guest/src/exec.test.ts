import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import type { AttachStream } from "./attach-stream.ts";
import { connectGuest } from "./connect.ts";
import type { GuestClient } from "./guest-client.ts";
import { execSpec, runExec } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

let machine: TestMachine;
let client: GuestClient;
const box = containerSpec(["sleep", "100000"], { user: "web", noNewPrivileges: true });

before(async () => {
  machine = await TestMachine.boot();
  client = await connectGuest({ socketPath: machine.socketPath, timeoutMs: 120_000 });
  await client.configure(testConfiguration);
  await client.startContainer(box);
});

after(async () => {
  await client?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

/** Reads output until it contains `text`. */
async function readUntil(output: AsyncGenerator<{ readonly data: Buffer }>, text: string): Promise<string> {
  let seen = "";
  while (!seen.includes(text)) {
    const { value, done } = await output.next();
    if (done === true) throw new Error(`the output ended without ${JSON.stringify(text)}: ${seen}`);
    seen += value.data.toString();
  }
  return seen;
}

async function waitUntil(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 20));
}

test("an exec joins the container with its own user, environment and directory", async () => {
  const script = "id -u; echo $NAME; pwd; ps | grep -c '[1]00000'; cat /proc/self/cgroup";
  const spec = execSpec(["sh", "-c", script], {
    user: "root",
    env: ["PATH=/bin", "NAME=value"],
    workingDirectory: "/tmp",
  });
  const { output, exit } = await runExec(client, box.id, spec);
  assert.match(output, /^0\nvalue\n\/tmp\n1\n0::\/\n$/);
  assert.deepEqual([exit.exitCode, exit.signal], [0, 0]);
});

test("an exec has the container's user, capabilities and profile by default", async () => {
  const script = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t'";
  const { output } = await runExec(client, box.id, execSpec(["sh", "-c", script]));
  assert.equal(output, "33\nCapEff:0000000000000000\nCapBnd:00000000a80425fb\nNoNewPrivs:1\nSeccomp:2\n");
});

test("exit codes and signals of an exec come back", async () => {
  assert.equal((await runExec(client, box.id, execSpec(["sh", "-c", "exit 42"]))).exit.exitCode, 42);
  const killed = (await runExec(client, box.id, execSpec(["sh", "-c", "kill -TERM $$"]))).exit;
  assert.deepEqual([killed.exitCode, killed.signal], [143, 15]);
});

test("an exec that cannot start says why", async () => {
  await assert.rejects(client.exec(box.id, execSpec(["nonsense"])), { code: "CommandNotFound" });
  await assert.rejects(client.exec(box.id, execSpec(["/bin/not-executable"])), { code: "CommandNotExecutable" });
  await assert.rejects(client.exec(box.id, execSpec(["true"], { user: "nobody-here" })), { code: "UserNotFound" });
  await assert.rejects(client.exec("absent", execSpec(["true"])), { code: "NotFound" });
});

test("an exec into a container that has ended is refused", async () => {
  const spec = containerSpec(["true"]);
  await client.startContainer(spec);
  await client.waitContainer(spec.id);
  await assert.rejects(client.exec(spec.id, execSpec(["true"])), { code: "NotRunning" });
  await client.removeContainer(spec.id);
});

test("stdin of megabytes goes through and ends", async () => {
  await using stream = await client.exec(box.id, execSpec(["md5sum"], { hasStdin: true }));
  const data = Buffer.alloc(3 * 1024 * 1024, "isopod");
  const writing = stream.writeStdin(data).then(async () => await stream.endStdin());
  const seen = await readUntil(stream.output(), "\n");
  await writing;
  assert.equal(seen.slice(0, 32), createHash("md5").update(data).digest("hex"));
});

test("stdin that the program does not read holds up nobody else", async () => {
  await using stuck = await client.exec(box.id, execSpec(["sleep", "1000"], { hasStdin: true }));
  const writing = stuck.writeStdin(Buffer.alloc(1024 * 1024));
  for (let turn = 0; turn < 5; turn++) {
    assert.equal((await runExec(client, box.id, execSpec(["echo", "alive"]))).output, "alive\n");
  }
  await stuck.close();
  await writing;
});

test("stdout and stderr of an exec are apart", async () => {
  await using stream = await client.exec(box.id, execSpec(["sh", "-c", "echo out; echo err >&2"]));
  const seen = { stdout: "", stderr: "" };
  for await (const chunk of stream.output()) seen[chunk.stream] += chunk.data.toString();
  assert.deepEqual(seen, { stdout: "out\n", stderr: "err\n" });
});

test("a terminal has its size, is resized, and echoes", async () => {
  const spec = execSpec(["sh"], { isTerminal: true, hasStdin: true, columns: 91, rows: 31 });
  await using stream = await client.exec(box.id, spec);
  const output = stream.output();
  await stream.writeStdin("stty size; tty; echo do''ne\n");
  const first = await readUntil(output, "done\r\n");
  assert.match(first, /31 91\r\n/);
  assert.match(first, /\/dev\/pts\/\d+\r\n/);
  await stream.resize({ columns: 120, rows: 50 });
  await stream.writeStdin("stty size; echo aga''in\n");
  assert.match(await readUntil(output, "again\r\n"), /50 120\r\n/);
  await stream.writeStdin("exit 9\n");
  while ((await output.next()).done !== true);
  assert.equal((await stream.exit).exitCode, 9);
});

test("an interrupt typed at a terminal reaches the program", async () => {
  const script = "trap 'echo interrupted; exit 8' INT; echo ready; while :; do sleep 0.05; done";
  await using stream = await client.exec(box.id, execSpec(["sh", "-c", script], { isTerminal: true, hasStdin: true }));
  const output = stream.output();
  await readUntil(output, "ready\r\n");
  await stream.writeStdin("\u0003");
  await readUntil(output, "interrupted\r\n");
  while ((await output.next()).done !== true);
  assert.equal((await stream.exit).exitCode, 8);
});

test("a container with a terminal is attached to, and /dev/console is that terminal", async () => {
  const spec = containerSpec(["sh"], { isTerminal: true, hasStdin: true });
  await client.startContainer(spec);
  await using stream = await client.attach(spec.id, { from: 0 });
  const output = stream.output();
  await stream.resize({ columns: 77, rows: 22 });
  await stream.writeStdin("stty size < /dev/console; echo do''ne; exit 4\n");
  assert.match(await readUntil(output, "done"), /22 77/);
  while ((await output.next()).done !== true);
  assert.equal((await stream.exit).exitCode, 4);
  await client.removeContainer(spec.id);
});

test("stdin of a container stays open between attached clients unless it is once", async () => {
  const copy = async (isStdinOnce: boolean): Promise<{ readonly id: string; readonly first: AttachStream }> => {
    const spec = containerSpec(["cat"], { hasStdin: true, isStdinOnce });
    await client.startContainer(spec);
    const first = await client.attach(spec.id, { from: 0 });
    await first.writeStdin("one\n");
    await readUntil(first.output(), "one\n");
    return { id: spec.id, first };
  };
  const kept = await copy(false);
  await kept.first.close();
  const second = await client.attach(kept.id);
  await second.writeStdin("two\n");
  assert.equal(await readUntil(second.output(), "two\n"), "two\n");
  await second.close();
  await client.removeContainer(kept.id);
  const once = await copy(true);
  await once.first.close();
  assert.equal((await client.waitContainer(once.id)).exit?.exitCode, 0);
  await client.removeContainer(once.id);
});

test("what an exec leaves behind does not hold its stream open", async () => {
  const { exit } = await runExec(client, box.id, execSpec(["sh", "-c", "sleep 777 & exit 3"]));
  assert.equal(exit.exitCode, 3);
  const noisy = await runExec(client, box.id, execSpec(["sh", "-c", "yes & exit 4"]));
  assert.equal(noisy.exit.exitCode, 4);
  const clean = "kill $(pidof yes) $(pidof sleep | tr ' ' '\\n' | grep -vx 1)";
  await runExec(client, box.id, execSpec(["sh", "-c", clean]));
});

test("an exec that is cancelled is killed", async () => {
  const running = async (): Promise<boolean> =>
    (await runExec(client, box.id, execSpec(["sh", "-c", "ps | grep '[4]44444'"]))).output !== "";
  const aborter = new AbortController();
  const stream = await client.exec(box.id, execSpec(["sleep", "444444"]), aborter.signal);
  assert.ok(await running());
  aborter.abort();
  await waitUntil(async () => !(await running()));
  await assert.rejects(stream.exit, { code: "Disconnected" });
});

test("a container's end takes its execs with it", async () => {
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  const stream = await client.exec(spec.id, execSpec(["sleep", "1000"]));
  await client.signalContainer(spec.id, "SIGKILL");
  assert.equal((await client.waitContainer(spec.id)).exit?.exitCode, 137);
  for await (const _ of stream.output());
  assert.equal((await stream.exit).exitCode, 137);
  await client.removeContainer(spec.id);
});
