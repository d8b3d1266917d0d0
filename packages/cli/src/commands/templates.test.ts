import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { ensureCertificates } from "@isopod/apiserver";
import { systemClock, temporaryDirectory } from "@isopod/base";
import { Cli } from "../testing/cli.ts";

const template = {
  id: "t1",
  vcpus: 1,
  memoryMiB: 568,
  scratchBytes: 10 * 1024 ** 3,
  sizeBytes: 24 * 1024 ** 2,
  builtMicros: Date.parse("2026-01-02T03:04:05Z") * 1000,
  isLoaded: true,
  hasZygote: false,
};

/** An API with one node, whose answers to `/templates` are given in the order they are asked for. */
async function startApi(...answers: readonly (readonly [status: number, body: string])[]) {
  await using directory = await temporaryDirectory("isopod-cli-");
  const certificates = await ensureCertificates({
    directory: join(directory.path, "certificates"),
    hosts: [],
    nodeNames: [],
    clock: systemClock,
  });
  const asked: string[] = [];
  const left = [...answers];
  const { certPem, keyPem } = certificates.server;
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    const [path = "", query = ""] = (request.url ?? "").split("?");
    if (path === "/api/v1/nodes") {
      response.setHeader("content-type", "application/json");
      const items = [{ metadata: { name: "n1" } }];
      return response.end(JSON.stringify({ kind: "NodeList", apiVersion: "v1", metadata: {}, items }));
    }
    asked.push(`${request.method} ${path}${query === "" ? "" : `?${query}`}`);
    const [status, body] = left.shift() ?? [500, "asked too often"];
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cli = await Cli.of({ server: `https://127.0.0.1:${port}`, caPem: certificates.caPem, token: "t" });
  return {
    asked,
    cli,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await cli[Symbol.asyncDispose]();
    },
  };
}

const proxied = "/api/v1/nodes/n1/proxy/templates";
const lines = (...objects: readonly object[]): string => objects.map((one) => `${JSON.stringify(one)}\n`).join("");

test("templates are listed as a table, and as they are", async () => {
  const body = JSON.stringify({ templates: [template] });
  await using api = await startApi([200, body], [200, body]);
  const { code, stdout } = await api.cli.run("template", "ls");
  assert.equal(code, 0);
  assert.equal(
    stdout,
    [
      "ID  VCPU  MEMORY  DISK    SIZE    BUILT                LOADED  ZYGOTE",
      "t1  1     568Mi   10 GiB  24 MiB  2026-01-02 03:04:05  yes     no",
      "",
    ].join("\n"),
  );
  assert.deepEqual(JSON.parse((await api.cli.run("template", "ls", "--output", "json")).stdout), [template]);
  assert.deepEqual(api.asked, [`GET ${proxied}`, `GET ${proxied}`]);
});

test("a build tells what it does on standard error and prints what it built", async () => {
  const progress = { stage: "boot", size: "0.25x512Mi" };
  await using api = await startApi([200, lines({ progress }, { progress: { other: 1 } }, { templates: [template] })]);
  const { code, stdout, stderr } = await api.cli.run("template", "build", "0.25x512Mi", "1x2Gi");
  assert.equal(code, 0);
  assert.match(stdout, /^t1 /m);
  assert.equal(stderr, '0.25x512Mi boot\n{"other":1}\n');
  assert.deepEqual(api.asked, [`POST ${proxied}/build?size=0.25x512Mi&size=1x2Gi`]);
});

test("a build that fails, and an answer that breaks off, end with 1 and the reason", async () => {
  const error = { message: "no space left", stage: "template", remedy: "Free space." };
  await using api = await startApi([200, lines({ error })], [200, lines({ progress: { stage: "boot" } })]);
  const failed = await api.cli.run("template", "build");
  assert.equal(failed.code, 1);
  assert.equal(failed.stderr, "isopod: template: no space left\n  Free space.\n");
  const broken = await api.cli.run("template", "build", "1x1Gi");
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /the node's answer broke off/);
  assert.deepEqual(api.asked, [`POST ${proxied}/build`, `POST ${proxied}/build?size=1x1Gi`]);
});

test("templates are removed by id, each named when it is gone", async () => {
  await using api = await startApi([200, '{"removed":"t1"}'], [404, "template t2 not found"]);
  const { code, stdout, stderr } = await api.cli.run("template", "rm", "t1", "t2");
  assert.deepEqual([code, stdout], [1, "t1\n"]);
  assert.match(stderr, /template t2 not found/);
  assert.deepEqual(api.asked, [`DELETE ${proxied}?id=t1`, `DELETE ${proxied}?id=t2`]);
});
