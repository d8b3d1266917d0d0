import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { formatSizeWord, type InstanceSize } from "@isopod/api";
import { NodeError } from "./node-error.ts";
import type { NodeTemplates, TemplateView } from "./node-templates.ts";
import { serveTemplates } from "./template-endpoint.ts";

const view = (id: string): TemplateView => ({
  id,
  vcpus: 1,
  memoryMiB: 512,
  scratchBytes: 1024,
  sizeBytes: 2048,
  builtMicros: 1_767_225_600_000_000,
  isLoaded: true,
  hasZygote: false,
});

/** Templates in memory; `build` tells each size and then waits until `finish` is called or the client goes. */
class KeptTemplates implements NodeTemplates {
  readonly kept = new Map<string, TemplateView>();
  readonly asked: (readonly InstanceSize[])[] = [];
  readonly begun = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<string>();
  failure: Error | undefined;
  isEndless = false;

  async list(): Promise<readonly TemplateView[]> {
    return [...this.kept.values()];
  }

  async build(
    sizes: readonly InstanceSize[],
    onProgress: (line: object) => void,
    signal: AbortSignal,
  ): Promise<readonly TemplateView[]> {
    this.asked.push(sizes);
    const built = sizes.map((size) => {
      onProgress({ stage: "boot", size: formatSizeWord(size) });
      return view(formatSizeWord(size));
    });
    this.begun.resolve();
    try {
      if (this.failure !== undefined) throw this.failure;
      if (this.isEndless) await delay(60_000, undefined, { signal });
    } finally {
      this.ended.resolve(signal.aborted ? "aborted" : "done");
    }
    for (const one of built) this.kept.set(one.id, one);
    return built;
  }

  async remove(id: string): Promise<void> {
    if (!this.kept.delete(id)) throw new NodeError(`template ${id} not found`, { code: "Internal", object: id });
  }
}

async function startEndpoint() {
  const templates = new KeptTemplates();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://node");
    const parts = url.pathname.split("/").filter((part) => part !== "");
    serveTemplates(templates, parts.slice(1), url.searchParams, request, response).catch((error: unknown) => {
      response.writeHead(500);
      response.end(String(error));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/templates`;
  return {
    templates,
    ask: async (method: string, path = "", signal?: AbortSignal) =>
      await fetch(`${base}${path}`, { method, ...(signal === undefined ? {} : { signal }) }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const linesOf = async (answer: Response): Promise<readonly unknown[]> =>
  (await answer.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);

test("what is built is told while it is built, then listed, and gone when removed", async () => {
  await using endpoint = await startEndpoint();
  const lines = await linesOf(await endpoint.ask("POST", "/build?size=0.25x512Mi&size=1x2Gi&size=1x2Gi"));
  assert.deepEqual(lines, [
    { progress: { stage: "boot", size: "0.25x512Mi" } },
    { progress: { stage: "boot", size: "1x2Gi" } },
    { templates: [view("0.25x512Mi"), view("1x2Gi")] },
  ]);
  const listed = async () => await (await endpoint.ask("GET")).json();
  assert.deepEqual(await listed(), { templates: [view("0.25x512Mi"), view("1x2Gi")] });
  assert.deepEqual(await (await endpoint.ask("DELETE", "?id=1x2Gi")).json(), { removed: "1x2Gi" });
  assert.deepEqual(await listed(), { templates: [view("0.25x512Mi")] });
});

test("without a size the node builds what it can hold", async () => {
  await using endpoint = await startEndpoint();
  await (await endpoint.ask("POST", "/build")).text();
  assert.deepEqual(endpoint.templates.asked, [[]]);
});

test("a size that nobody can buy is refused before anything is built, with the next one that they can", async () => {
  await using endpoint = await startEndpoint();
  const refused = async (size: string): Promise<string> => {
    const answer = await endpoint.ask("POST", `/build?size=0.25x512Mi&size=${size}`);
    assert.equal(answer.status, 400, size);
    return await answer.text();
  };
  assert.equal(await refused("0.3x300Mi"), "size=0.3x300Mi is not in the catalogue; the next larger one is 0.5x512Mi");
  assert.match(await refused("99x1Gi"), /beyond the largest/);
  assert.match(await refused("large"), /^size=large: large is not a size, as in 0\.25x512Mi$/);
  assert.deepEqual(endpoint.templates.asked, []);
});

test("a build that fails ends with what failed and what to do", async () => {
  await using endpoint = await startEndpoint();
  const { templates } = endpoint;
  templates.failure = new NodeError("no space left for the template", { code: "Internal", remedy: "Free space." });
  const last = (await linesOf(await endpoint.ask("POST", "/build?size=1x2Gi"))).at(-1);
  assert.deepEqual(last, {
    error: { message: "no space left for the template", code: "Internal", remedy: "Free space." },
  });
  assert.deepEqual(await templates.list(), []);
});

test("a build ends when the client goes away", async () => {
  await using endpoint = await startEndpoint();
  const { templates } = endpoint;
  templates.isEndless = true;
  const client = new AbortController();
  const answer = await endpoint.ask("POST", "/build?size=1x2Gi", client.signal);
  await templates.begun.promise;
  client.abort();
  await assert.rejects(answer.text());
  assert.equal(await templates.ended.promise, "aborted");
});

test("other requests, and a removal of nothing, are refused", async () => {
  await using endpoint = await startEndpoint();
  assert.equal((await endpoint.ask("PUT")).status, 404);
  assert.equal((await endpoint.ask("POST", "/burn")).status, 404);
  assert.equal((await endpoint.ask("DELETE")).status, 400);
});
