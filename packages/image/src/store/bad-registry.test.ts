import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { isImageError } from "../image-error.ts";
import { buildTar } from "../testing/tar-builder.ts";
import { startFront } from "../testing/test-front.ts";
import { buildTestImage, pushImage } from "../testing/test-image.ts";
import { startRegistry } from "../testing/test-registry.ts";
import { filesIn, isError, openStore } from "../testing/test-store.ts";

const content = randomBytes(2_000_000);
const image = buildTestImage([
  { tar: buildTar([{ path: "small", content: "small" }]) },
  { tar: buildTar([{ path: "big", content }]) },
]);
const layer = image.layers[1] ?? assert.fail("there are two layers");
const half = Math.floor(layer.content.length / 2);

test("a connection that breaks is resumed by a range where it broke", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  const ranges: (string | undefined)[] = [];
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(layer.digest) !== true) return await forward();
    ranges.push(request.headers.range);
    if (ranges.length > 1) return await forward();
    response.writeHead(200, { "content-length": layer.content.length });
    response.write(layer.content.subarray(0, half), () => setTimeout(() => response.destroy(), 50));
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  const pulled = await store.pull(`${front.host}/x:v1`);
  assert.deepEqual((await readFile(pulled.disk[2]?.path ?? "")).subarray(0, content.length), content);
  assert.equal(ranges.length, 2);
  assert.match(ranges[1] ?? "", /^bytes=[1-9][0-9]*-$/);
});

test("a registry without ranges is read from the start again", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  let asked = 0;
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(layer.digest) !== true) return await forward();
    response.writeHead(200, { "content-length": layer.content.length });
    if (++asked > 1) response.end(layer.content);
    else response.write(layer.content.subarray(0, half), () => setTimeout(() => response.destroy(), 50));
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  const pulled = await store.pull(`${front.host}/x:v1`);
  assert.deepEqual((await readFile(pulled.disk[2]?.path ?? "")).subarray(0, content.length), content);
});

test("a registry that stalls half-way through a layer is given up with a clear error", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(layer.digest) !== true) return await forward();
    response.writeHead(200, { "content-length": layer.content.length });
    // The second time it says nothing at all.
    if (request.headers.range === undefined) response.write(layer.content.subarray(0, half));
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path, { stallTimeoutMs: 1000 });
  await assert.rejects(store.pull(`${front.host}/x:v1`), (error) => {
    assert.ok(isImageError(error, "RegistryStalled"), String(error));
    assert.match(error.message, /sent nothing, or next to nothing, for 1 s \(layer sha256:.* of 127/);
    return true;
  });
  assert.deepEqual(
    (await filesIn(directory.path)).filter((name) => !/\.(data|index)$/.test(name)),
    [],
  );
});

test("a drip of bytes is a stall too, and so is a registry that never answers", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  const timers: NodeJS.Timeout[] = [];
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(layer.digest) !== true) return await forward();
    response.writeHead(200, { "content-length": layer.content.length });
    let sent = 0;
    timers.push(setInterval(() => response.write(layer.content.subarray(sent, ++sent)), 50));
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path, { stallTimeoutMs: 800 });
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("RegistryStalled"));
  for (const timer of timers) clearInterval(timer);

  const silent = createServer(() => {});
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : undefined;
  await assert.rejects(store.pull(`127.0.0.1:${port}/x`), isError("RegistryStalled"));
  silent.close();
});

test("a layer that is another one, too short or too long is never taken", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  const changed = Buffer.from(layer.content);
  changed[half] = (changed[half] ?? 0) ^ 1;
  let body: Buffer = changed;
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(layer.digest) !== true) return await forward();
    const start = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (start > 0 && start >= body.length) response.writeHead(416).end();
    else response.writeHead(200).end(body);
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("DigestMismatch"));
  body = layer.content.subarray(0, half);
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("Truncated"));
  body = Buffer.concat([layer.content, Buffer.alloc(10)]);
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("DigestMismatch"));
  assert.equal((await store.list()).length, 0);
  // And then the right one.
  body = layer.content;
  await store.pull(`${front.host}/x:v1`);
});

test("a manifest or config that is not what was named is refused", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  let wrong = image.manifest.digest;
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url?.endsWith(wrong) !== true) return await forward();
    const blob = [image.manifest, image.config].find(({ digest }) => digest === wrong);
    const bytes = Buffer.from(blob?.content ?? "");
    // Still JSON: only the digest can tell.
    bytes.write(" ", bytes.indexOf('":') + 1);
    response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" }).end(bytes);
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${front.host}/x@${wrong}`), isError("DigestMismatch"));
  wrong = image.config.digest;
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("DigestMismatch"));
});

test("endless answers are cut off", async () => {
  const flood = Buffer.alloc(1024 * 1024, 0x20);
  await using front = await startFront("", (request, response) => {
    if (request.url === "/v2/") return void response.end();
    response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" });
    const more = () => void response.write(flood, (error) => (error ? undefined : more()));
    more();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("RegistryFailed"));
});

test("a busy registry is asked again, a limiting one is told apart", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  let failures = 2;
  let status = 503;
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.url === "/v2/" || --failures < 0) return await forward();
    response.writeHead(status).end();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await store.pull(`${front.host}/x:v1`);
  failures = 1000;
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("RegistryFailed"));
  status = 429;
  await assert.rejects(store.pull(`${front.host}/x:v1`), isError("RateLimited"));
});
