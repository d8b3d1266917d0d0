import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connectGuest } from "./connect.ts";
import type { GuestClient } from "./guest-client.ts";
import { GuestError } from "./guest-error.ts";
import { Greeting } from "./handshake.ts";
import { execSpec } from "./testing/run-container.ts";
import { containerSpec } from "./testing/container-spec.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

let machine: TestMachine;
const timeoutMs = 120_000;

before(async () => {
  machine = await TestMachine.boot({ vcpus: 2 });
  await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  await client.configure(testConfiguration);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

async function open(): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = connect(machine.socketPath, () => resolve(socket));
    socket.on("error", reject);
  });
}

test("containers go on while hosts come and go, and their output is neither lost nor doubled", async () => {
  const lines = 60_000;
  const spec = containerSpec(["seq", "1", String(lines)]);
  {
    await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    await client.startContainer(spec);
  }
  let text = "";
  let offset = 0;
  let hosts = 0;
  for (let isDone = false; !isDone; hosts++) {
    const client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    // Cut off anywhere: in the middle of frames, with a megabyte on the way.
    const cut = setTimeout(() => void client[Symbol.asyncDispose](), 1 + Math.random() * 40);
    try {
      for await (const chunk of client.output(spec.id, offset)) {
        assert.equal(chunk.droppedBytes, 0);
        text += chunk.data.toString();
        offset = chunk.nextOffset;
      }
      isDone = true;
    } catch (error) {
      assert.ok(error instanceof GuestError && error.code === "Disconnected", String(error));
    } finally {
      clearTimeout(cut);
      await client[Symbol.asyncDispose]();
    }
  }
  assert.equal(text, `${Array.from({ length: lines }, (_, index) => index + 1).join("\n")}\n`);
  assert.ok(hosts > 1, "the output came at once: nothing was tested");
  await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  await client.removeContainer(spec.id);
});

test("a new host is heard after one that died anywhere in a frame, and hears nothing of the old session", async () => {
  for (let turn = 0; turn < 25; turn++) {
    const client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    const { stream, id } = await startFlood(client);
    // Half a megabyte of input and output under way at the cut.
    stream.writeStdin(Buffer.alloc(512 * 1024, "\nISOPOD/1 HELLO 00000000000000000000000000000000\n")).catch(() => {});
    await delay(Math.random() * 20);
    await client[Symbol.asyncDispose]();
    await using next = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    assert.equal((await next.info()).isConfigured, true);
    await next.removeContainer(id);
  }
});

async function startFlood(
  client: Awaited<ReturnType<typeof connectGuest>>,
): Promise<{ readonly stream: Awaited<ReturnType<typeof client.exec>>; readonly id: string }> {
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  const stream = await client.exec(spec.id, execSpec(["cat"], { hasStdin: true }));
  return { stream, id: spec.id };
}

test("an agent that missed the end of a session is won back, wherever it was cut", async () => {
  // The same connection goes on, as when the hang-up and the new host come while the guest does not run.
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const headers = Buffer.from([0, 0x10, 0, 1, 4, 0, 0, 0, 1]);
  const data = Buffer.from([0, 0x40, 0, 0, 0, 0, 0, 0, 1]);
  for (let turn = 0; turn < 12; turn++) {
    const socket = await open();
    const session = Buffer.concat([preface, settings, turn % 2 === 0 ? headers : data]);
    await greetRaw(socket);
    socket.write(session.subarray(0, Math.floor((session.length * (turn + 1)) / 12)));
    await greetRaw(socket);
    socket.destroy();
    await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    assert.equal((await client.info()).isConfigured, true);
  }
});

test("a host that came while the guest did not run is answered at its first HELLO", async () => {
  // As after a fork: the guest sees the host's bytes before it has noticed that a host is there. Not in a session, whose
  // end it may not have noticed either: that takes a second HELLO.
  const idle = await open();
  await greetRaw(idle);
  idle.destroy();
  for (let turn = 0; turn < 6; turn++) {
    await machine.command("stop");
    const socket = await open();
    const greeting = new Greeting();
    const heard = new Promise<void>((resolve) => {
      socket.on("data", (chunk: Buffer) => {
        if (greeting.push(chunk) !== undefined) resolve();
      });
    });
    try {
      await new Promise((resolve) => socket.write(greeting.next(0), resolve));
      await delay(20);
      await machine.command("cont");
      await Promise.race([
        heard,
        delay(timeoutMs, undefined, { ref: false }).then(() => assert.fail("the first HELLO was lost")),
      ]);
    } finally {
      // One left open would keep every later host from the machine.
      socket.destroy();
    }
  }
});

/** Says HELLO on an open line, as `connectGuest` does, until it is answered. */
async function greetRaw(socket: Socket): Promise<void> {
  const greeting = new Greeting();
  await new Promise<void>((resolve) => {
    let attempt = 0;
    const say = (): void => {
      if (!greeting.isHeard) socket.write(greeting.next(attempt++));
    };
    const timer = setInterval(say, 200);
    const onData = (chunk: Buffer): void => {
      if (greeting.push(chunk) === undefined) return;
      clearInterval(timer);
      socket.off("data", onData);
      resolve();
    };
    socket.on("data", onData);
    say();
  });
}

test("rubbish and floods on the line do not stop the agent", async () => {
  for (const rubbish of [
    Buffer.alloc(300_000, 0xff),
    Buffer.alloc(100_000),
    Buffer.from("\nISOPOD/1 HELLO \n".repeat(5000)),
  ]) {
    const socket = await open();
    socket.write(rubbish);
    await delay(50);
    socket.destroy();
    await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
    assert.equal((await client.info()).isConfigured, true);
  }
});

test("a host that stops reading holds up only itself", async () => {
  const client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  const spec = containerSpec(["sh", "-c", "yes | head -c 8000000; echo; echo end"]);
  await client.startContainer(spec);
  const slow = client.output(spec.id, 0)[Symbol.asyncIterator]();
  await slow.next();
  assert.equal((await client.info()).isConfigured, true);
  await delay(300);
  assert.equal((await client.info()).isConfigured, true);
  let last = "";
  for (let next = await slow.next(); next.done !== true; next = await slow.next()) last = next.value.data.toString();
  assert.ok(last.endsWith("end\n"));
  await client.removeContainer(spec.id);
  await client[Symbol.asyncDispose]();
});

test("a client that is refused the port in time says so", async () => {
  await using first = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  await assert.rejects(connectGuest({ socketPath: machine.socketPath, timeoutMs: 500 }), { code: "Unreachable" });
  const abort = AbortSignal.abort(new Error("enough"));
  await assert.rejects(connectGuest({ socketPath: machine.socketPath, signal: abort }), { message: "enough" });
  assert.equal((await first.info()).isConfigured, true);
});

test("a session lives longer than the time its opening was given", async () => {
  const opening = new AbortController();
  // More time, again and again, where the guest of a busy host does not answer in so little.
  const openIn = async (openingMs: number): Promise<[GuestClient, number]> => {
    const options = { socketPath: machine.socketPath, timeoutMs: openingMs, signal: opening.signal };
    try {
      return [await connectGuest(options), openingMs];
    } catch (error) {
      if (openingMs > timeoutMs) throw error;
      return await openIn(openingMs * 2);
    }
  };
  const [opened, openingMs] = await openIn(6000);
  await using client = opened;
  await delay(openingMs + 500);
  opening.abort();
  assert.equal((await client.info()).isConfigured, true);
});

test("aborted and late calls end and leave the session alive", async () => {
  await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  const aborter = new AbortController();
  const waiting = client.waitContainer(spec.id, aborter.signal);
  aborter.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  const reading = new AbortController();
  const chunks = client.output(spec.id, 0, reading.signal)[Symbol.asyncIterator]();
  const next = chunks.next();
  setTimeout(() => reading.abort(new Error("enough")), 100);
  await assert.rejects(next, { message: "enough" });
  await assert.rejects(client.removeContainer(spec.id, { timeoutMs: 0 }), { code: "TimedOut" });
  assert.equal((await client.info()).isConfigured, true);
  // The late call went on; asking again waits for it, or finds it done.
  await client.removeContainer(spec.id).catch((error) => assert.equal(error.code, "NotFound"));
});

test("a machine that dies ends the session at once", async () => {
  const client = await connectGuest({ socketPath: machine.socketPath, timeoutMs });
  const spec = containerSpec(["sleep", "1000"]);
  await client.startContainer(spec);
  const waiting = client.waitContainer(spec.id);
  machine.kill();
  await assert.rejects(waiting, { code: "Disconnected" });
  await client.closed;
  assert.ok(client.isClosed);
});
