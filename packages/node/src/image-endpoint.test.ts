import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger, temporaryDirectory } from "@isopod/base";
import { openImageStore } from "@isopod/image";
import { serveImages } from "./image-endpoint.ts";
import { imageArchive } from "./testing/image-archive.ts";

/** The endpoint over plain HTTP and a store of its own. */
async function startEndpoint() {
  const directory = await temporaryDirectory("isopod-node-");
  const images = await openImageStore({ directory: join(directory.path, "images"), logger: silentLogger });
  const uploads = join(directory.path, "uploads");
  await mkdir(uploads);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://node");
    const parts = url.pathname.split("/").filter((part) => part !== "");
    serveImages(images, uploads, parts.slice(1), url.searchParams, request, response).catch((error: unknown) => {
      response.writeHead(500);
      response.end(String(error));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/images`;
  return {
    uploads: async () => await readdir(uploads),
    ask: async (method: string, path = "", body?: Buffer) =>
      await fetch(`${base}${path}`, { method, ...(body === undefined ? {} : { body: new Uint8Array(body) }) }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await images[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

type Line = {
  readonly images?: readonly { readonly references: readonly string[]; readonly digest: string }[];
  readonly error?: { readonly message: string; readonly code?: string; readonly remedy?: string };
};

const lastLine = async (answer: Response): Promise<Line> =>
  JSON.parse((await answer.text()).trim().split("\n").at(-1) ?? "") as Line;

test("an uploaded archive becomes an image that is listed, and gone when removed", async () => {
  await using endpoint = await startEndpoint();
  const archive = await imageArchive("registry.example/app:1", [["run", "#!"]]);
  const loaded = await lastLine(await endpoint.ask("POST", "/load", archive));
  assert.deepEqual(loaded.images?.[0]?.references, ["registry.example/app:1"]);
  const listed = (await (await endpoint.ask("GET")).json()) as Line;
  assert.deepEqual(listed.images?.[0]?.references, ["registry.example/app:1"]);
  const removed = await endpoint.ask("DELETE", "?reference=registry.example/app:1");
  assert.equal(removed.status, 200);
  assert.ok(((await removed.json()) as { removedBlobs: number }).removedBlobs > 0);
  assert.deepEqual(((await (await endpoint.ask("GET")).json()) as Line).images, []);
});

test("an archive with an entry that climbs out is refused by name, and its upload is not kept", async () => {
  await using endpoint = await startEndpoint();
  const { error } = await lastLine(
    await endpoint.ask("POST", "/load", await imageArchive("registry.example/app:1", [["../../etc/cron.d/x", "evil"]])),
  );
  assert.match(error?.message ?? "", /\.\.\/\.\.\/etc\/cron\.d\/x/);
  assert.equal(error?.code, "InvalidLayer");
  assert.notEqual(error?.remedy, undefined);
  assert.deepEqual(await endpoint.uploads(), []);
});

test("a pull that fails says why and what to do", async () => {
  await using endpoint = await startEndpoint();
  const { error } = await lastLine(await endpoint.ask("POST", "/pull?reference=127.0.0.1:1/app:1"));
  assert.equal(error?.code, "RegistryUnreachable");
  assert.match(error?.message ?? "", /127\.0\.0\.1:1/);
  assert.equal((await lastLine(await endpoint.ask("POST", "/pull?reference=UPPER"))).error?.code, "InvalidReference");
});

test("other requests are not found", async () => {
  await using endpoint = await startEndpoint();
  assert.equal((await endpoint.ask("PUT")).status, 404);
  assert.equal((await endpoint.ask("POST", "/push")).status, 404);
});
