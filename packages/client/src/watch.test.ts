import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type ConfigMap, isExpired } from "@isopod/api";
import fc from "fast-check";
import { KubeClient } from "./kube-client.ts";
import { startScriptedServer } from "./testing/scripted-server.ts";
import { readLines, type WatchEvent } from "./watch.ts";
import { resources } from "@isopod/api";

async function* chunked(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const size of sizes) {
    yield bytes.subarray(from, from + size);
    from += size;
  }
  yield bytes.subarray(from);
}

test("lines come out the same however the stream is cut, in the middle of a character too", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", "")),
        { maxLength: 8 },
      ),
      fc.array(fc.nat({ max: 12 }), { maxLength: 12 }),
      async (lines, sizes) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        assert.deepEqual(await Array.fromAsync(readLines(chunked(bytes, sizes))), lines);
      },
    ),
  );
});

test("a last line without an end counts, and a line beyond the limit ends the stream", async () => {
  assert.deepEqual(await Array.fromAsync(readLines(chunked(Buffer.from("a\nb"), [1]))), ["a", "b"]);
  const long = Buffer.from("x".repeat(100));
  await assert.rejects(Array.fromAsync(readLines(chunked(long, [10, 10]), 50)), { code: "BrokenStream" });
  const finished = Buffer.from(`${"x".repeat(100)}\n`);
  await assert.rejects(Array.fromAsync(readLines(chunked(finished, []), 50)), { code: "BrokenStream" });
});

async function watched(text: string, isCut = false): Promise<{ events: WatchEvent<ConfigMap>[]; error: unknown }> {
  await using server = await startScriptedServer((request, response) => {
    response.write(text, () => {
      if (isCut) request.socket.destroy();
      else response.end();
    });
  });
  using client = new KubeClient(server.config);
  const events: WatchEvent<ConfigMap>[] = [];
  try {
    for await (const event of client.watch(resources.configmaps, { resourceVersion: "1" })) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events, error: undefined };
}

const added = JSON.stringify({
  type: "ADDED",
  object: {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "a", resourceVersion: "2" },
    data: { k: "x".repeat(200_000) },
  },
});

test("an event of many chunks is one event", async () => {
  const { events, error } = await watched(`${added}\n`);
  assert.equal(error, undefined);
  assert.equal(events.length, 1);
});

test("a line that was cut off is an error, after the events before it", async () => {
  for (const isCut of [false, true]) {
    const { events, error } = await watched(`${added}\n${added.slice(0, 100)}`, isCut);
    assert.equal(events.length, 1);
    assert.ok(error instanceof Error);
  }
  const { error } = await watched('{"type":"SURPRISE","object":{"metadata":{}}}\n');
  assert.ok(error instanceof Error);
});

test("an ERROR event is thrown as what it says, 410 as expired", async () => {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", reason: "Expired", code: 410 };
  const { events, error } = await watched(`${added}\n${JSON.stringify({ type: "ERROR", object: status })}\n`);
  assert.equal(events.length, 1);
  assert.ok(error instanceof ApiError);
  assert.ok(isExpired(error));
});

test("a bookmark tells its revision, and one without a revision tells nothing", async () => {
  const bookmark = (resourceVersion: string): string =>
    `${JSON.stringify({ type: "BOOKMARK", object: { kind: "ConfigMap", metadata: { resourceVersion } } })}\n`;
  const { events } = await watched(bookmark("") + bookmark("7"));
  assert.deepEqual(events, [{ type: "BOOKMARK", resourceVersion: "7" }]);
});
