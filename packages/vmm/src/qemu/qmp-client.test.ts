import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { QmpClient } from "./qmp-client.ts";

/** A monitor of the test's own: `serve` answers each line it is sent. */
async function monitor(greeting: string, serve: (line: string, socket: Socket) => void) {
  const directory = await temporaryDirectory();
  const path = join(directory.path, "qmp.sock");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(greeting);
    socket.on("data", (chunk) => {
      for (const line of chunk.toString().trim().split("\n")) serve(line, socket);
    });
  });
  server.listen(path);
  await once(server, "listening");
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const greeting = '{"QMP": {}}\r\n';
const answer = (line: string, value: unknown) => `${JSON.stringify({ return: value, id: JSON.parse(line).id })}\r\n`;
const isCapabilities = (line: string) => line.includes("qmp_capabilities");

describe("the QMP client", () => {
  it("matches answers to commands by id, in whatever order they come, with events between", async () => {
    const held: string[] = [];
    await using server = await monitor(greeting, (line, socket) => {
      if (isCapabilities(line)) return void socket.write(answer(line, {}));
      held.push(line);
      const [first, second] = held;
      if (first === undefined || second === undefined) return;
      socket.write(answer(second, "second") + '{"event": "STOP", "data": {"why": 1}}\r\n' + answer(first, "first"));
    });
    const client = await QmpClient.connect(server.path);
    const events: unknown[] = [];
    client.onEvent((name, data) => events.push([name, data]));
    assert.deepEqual(await Promise.all([client.execute("a"), client.execute("b")]), ["first", "second"]);
    assert.deepEqual(events, [["STOP", { why: 1 }]]);
    client.close();
    await client.closed;
  });

  it("passes on why a command was refused", async () => {
    await using server = await monitor(greeting, (line, socket) => {
      const { id } = JSON.parse(line);
      if (isCapabilities(line)) socket.write(answer(line, {}));
      else socket.write(`{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ${id}}\r\n`);
    });
    const client = await QmpClient.connect(server.path);
    await assert.rejects(client.execute("x"), { code: "MonitorFailed", message: /refused x: no such thing/ });
    client.close();
  });

  it("gives up on a monitor that does not answer, and on one that does not greet", async () => {
    await using server = await monitor(greeting, (line, socket) => {
      if (isCapabilities(line)) socket.write(answer(line, {}));
    });
    const client = await QmpClient.connect(server.path);
    await assert.rejects(client.execute("x", {}, 20), { code: "MonitorFailed", message: /within 20 ms/ });
    client.close();
    await using silent = await monitor("", () => {});
    await assert.rejects(QmpClient.connect(silent.path, { timeoutMs: 20 }), { code: "BootTimeout" });
  });

  it("fails what is under way when the monitor goes, breaks the protocol or floods", async () => {
    for (const last of [undefined, "nonsense\n", "x".repeat(2 * 1024 * 1024)]) {
      await using server = await monitor(greeting, (line, socket) => {
        if (isCapabilities(line)) socket.write(answer(line, {}));
        else if (last === undefined) socket.destroy();
        else socket.write(last);
      });
      const client = await QmpClient.connect(server.path);
      await assert.rejects(client.execute("x"), { code: "MonitorFailed" });
      await client.closed;
      await assert.rejects(client.execute("y"), { code: "MonitorFailed" });
    }
  });

  it("ends with the caller's signal", async () => {
    await using silent = await monitor("", () => {});
    await assert.rejects(QmpClient.connect(silent.path, { signal: AbortSignal.timeout(10) }), { name: "TimeoutError" });
  });
});
