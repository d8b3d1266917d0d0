import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { AttachStream } from "./attach-stream.ts";
import { frameTypes } from "./contract.ts";
import { encodeFrame } from "./frame.ts";

const ended = {
  exitCode: 9,
  signal: 0,
  isOomKilled: false,
  startedMicros: 1,
  finishedMicros: 2,
  terminationMessage: "",
};

/** A stream whose other end says all of this at once, and ends. */
async function streamThatSays(
  ...frames: readonly Buffer[]
): Promise<AsyncDisposable & { readonly stream: AttachStream }> {
  const server = createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    stream.end(Buffer.concat(frames));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const session = connect(`http://127.0.0.1:${port}`);
  const request = session.request({ ":path": "/" });
  await once(request, "response");
  return {
    stream: new AttachStream(request),
    [Symbol.asyncDispose]: async () => {
      session.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("the exit is told to a reader who is slower than the end of the stream", async () => {
  const output = encodeFrame(frameTypes.stderr, Buffer.from("err\n"));
  const exit = encodeFrame(frameTypes.exit, JSON.stringify(ended));
  await using said = await streamThatSays(output, exit);
  for await (const chunk of said.stream.output()) {
    assert.equal(chunk.data.toString(), "err\n");
    await delay(100);
  }
  assert.equal((await said.stream.exit).exitCode, 9);
});

test("a stream that ends without an exit has broken off, for its reader and for who waits for the exit", async () => {
  await using said = await streamThatSays(encodeFrame(frameTypes.stdout, Buffer.from("out\n")));
  const read = async (): Promise<void> => {
    for await (const _chunk of said.stream.output());
  };
  await assert.rejects(read(), { code: "Disconnected" });
  await assert.rejects(said.stream.exit, { code: "Disconnected" });
});

test("nobody waits in vain for the exit of a stream whose reader has stopped", async () => {
  const output = encodeFrame(frameTypes.stdout, Buffer.from("out\n"));
  await using said = await streamThatSays(output, output);
  for await (const _chunk of said.stream.output()) break;
  await assert.rejects(said.stream.exit, { code: "Disconnected" });
});
