import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { frameTypes } from "@isopod/guest";
import { WebSocket, WebSocketServer } from "ws";
import { bridgeExec } from "./exec-bridge.ts";
import { openAgentStream } from "./testing/agent-stream.ts";

/** A client's WebSocket joined to an exec in a guest. */
async function openBridge() {
  const exec = await openAgentStream();
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const bridged = Promise.withResolvers<void>();
  server.on("connection", (socket) => bridgeExec(socket, exec.stream).then(bridged.resolve, bridged.reject));
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const messages: (readonly [number, string])[] = [];
  client.on("message", (data) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
    messages.push([bytes[0] ?? -1, bytes.subarray(1).toString()]);
  });
  const closed = once(client, "close");
  await once(client, "open");
  return {
    agent: exec.agent,
    client,
    messages,
    send: (channel: number, payload: string | Buffer) =>
      client.send(Buffer.concat([Buffer.of(channel), Buffer.from(payload)])),
    /** Resolves when the bridge is done and the client's socket has closed. */
    ended: async () => {
      await bridged.promise;
      await closed;
    },
    [Symbol.asyncDispose]: async () => {
      client.terminate();
      server.close();
      await exec[Symbol.asyncDispose]();
    },
  };
}

const statusOf = (messages: readonly (readonly [number, string])[]): unknown => {
  const last = messages.at(-1);
  assert.equal(last?.[0], 3, "the last message is the status");
  return JSON.parse(last?.[1] ?? "");
};

test("output goes to its channels and the end is told as a success", async () => {
  await using bridge = await openBridge();
  bridge.agent.send(frameTypes.stdout, "out");
  bridge.agent.send(frameTypes.stderr, "err");
  bridge.agent.exit(0);
  await bridge.ended();
  assert.deepEqual(bridge.messages.slice(0, -1), [
    [1, "out"],
    [2, "err"],
  ]);
  assert.deepEqual(statusOf(bridge.messages), { metadata: {}, status: "Success" });
});

test("an exit code is told as kubectl reads it", async () => {
  await using bridge = await openBridge();
  bridge.agent.exit(42);
  await bridge.ended();
  assert.deepEqual(statusOf(bridge.messages), {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: "command terminated with non-zero exit code: exit status 42",
    details: { causes: [{ reason: "ExitCode", message: "42" }] },
  });
});

test("input, sizes and the end of input reach the guest in order; nonsense does not", async () => {
  await using bridge = await openBridge();
  bridge.send(0, "one");
  bridge.send(4, JSON.stringify({ Width: 100, Height: 40 }));
  bridge.send(4, "{");
  bridge.send(4, JSON.stringify({ Width: 0, Height: 40 }));
  bridge.send(4, JSON.stringify({ Width: 70_000, Height: 40 }));
  bridge.client.send("text");
  bridge.client.send(Buffer.alloc(0));
  bridge.send(0, "two");
  bridge.send(255, Buffer.of(0));
  await bridge.agent.until((received) => received.some(([type]) => type === frameTypes.end));
  assert.deepEqual(bridge.agent.received, [
    [frameTypes.stdin, "one"],
    [frameTypes.resize, JSON.stringify({ columns: 100, rows: 40 })],
    [frameTypes.stdin, "two"],
    [frameTypes.end, "\0"],
  ]);
  bridge.agent.exit(0);
  await bridge.ended();
});

test("a client that goes away ends the command", async () => {
  await using bridge = await openBridge();
  bridge.client.terminate();
  await bridge.agent.closed;
});

test("a guest that is gone is told as a failure, not as an exit code", async () => {
  await using bridge = await openBridge();
  bridge.agent.send(frameTypes.stdout, "half");
  bridge.agent.breakOff();
  await bridge.ended();
  const status = statusOf(bridge.messages);
  assert.ok(typeof status === "object" && status !== null && "reason" in status && "message" in status);
  assert.equal(status.reason, "InternalError");
  assert.match(String(status.message), /broke off/);
});
