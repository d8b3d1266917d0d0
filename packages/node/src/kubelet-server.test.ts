import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { type RequestOptions, request } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { silentLogger, temporaryDirectory } from "@isopod/base";
import { frameTypes, GuestError } from "@isopod/guest";
import { openImageStore } from "@isopod/image";
import { WebSocket } from "ws";
import { ContainerLog } from "./container-log.ts";
import { type KubeletServerOptions, type ServedPod, startKubeletServer } from "./kubelet-server.ts";
import { NodeError } from "./node-error.ts";
import type { NodeTemplates } from "./node-templates.ts";
import { openAgentStream } from "./testing/agent-stream.ts";
import { createAuthority } from "./testing/certificates.ts";
import { podWith } from "./testing/pods.ts";

/** A server with one pod `shop/web`, whose container `main` has written three lines. */
async function startServer(more: Pick<KubeletServerOptions, "templates"> = {}) {
  const directory = await temporaryDirectory("isopod-node-");
  const [authority, stranger] = [await createAuthority(), await createAuthority("stranger")];
  const serving = await authority.issue("node");
  const images = await openImageStore({ directory: `${directory.path}/images`, logger: silentLogger });
  const log = await ContainerLog.open(`${directory.path}/log`, 0);
  await log.append("stdout", Buffer.from("one\ntwo\n"), 1_767_323_045_000_000, 8);
  await log.append("stderr", Buffer.from("three\n"), 1_767_323_046_000_000, 14);
  const exec = await openAgentStream();
  const execs: unknown[] = [];
  const pod: ServedPod = {
    log: async (name, isPrevious) => {
      if (name !== "main" || isPrevious) {
        throw new NodeError(`container ${name} is not valid for pod web`, { code: "CreateContainerConfigError" });
      }
      return log;
    },
    exec: async (_name, spec) => {
      if (spec.args[0] === "absent") throw new GuestError("absent: not found", { code: "CommandNotFound" });
      execs.push(spec);
      return exec.stream;
    },
    attach: async () => exec.stream,
    execEnvironment: async () => ["A=1"],
  };
  const server = await startKubeletServer({
    host: "127.0.0.1",
    port: 0,
    tls: { certPem: serving.certPem, keyPem: serving.keyPem, clientCaPem: authority.certPem },
    logger: silentLogger,
    images,
    ...more,
    uploadsDirectory: directory.path,
    findPod: (namespace, name) => (namespace === "shop" && name === "web" ? pod : undefined),
    pods: () => [podWith()],
  });
  const good = await authority.issue("kube-apiserver-kubelet-client");
  const tls = { host: "127.0.0.1", port: server.port, ca: authority.certPem, cert: good.certPem, key: good.keyPem };
  const bad = await stranger.issue("kube-apiserver-kubelet-client");
  const other = await authority.issue("system:node:other");
  return {
    log,
    execs,
    agent: exec.agent,
    port: server.port,
    tls,
    strangerTls: { ...tls, cert: bad.certPem, key: bad.keyPem },
    otherNodeTls: { ...tls, cert: other.certPem, key: other.keyPem },
    get: async (path: string, options: RequestOptions = tls) => await get(path, options),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await exec[Symbol.asyncDispose]();
      await log.close();
      await images[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function get(path: string, options: RequestOptions): Promise<{ status: number; text: string }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ ...options, path, agent: false }, resolve)
      .on("error", reject)
      .end();
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
}

test("only clients with a certificate of the authority are answered", async () => {
  await using server = await startServer();
  const { host, port, ca } = server.tls;
  assert.deepEqual(await server.get("/healthz"), { status: 200, text: "ok" });
  await assert.rejects(server.get("/healthz", { host, port, ca }), /certificate required|ECONNRESET|socket hang up/);
  await assert.rejects(server.get("/healthz", server.strangerTls), /alert|ECONNRESET|socket hang up/);
});

test("another node's certificate is of the authority, and is not enough", async () => {
  await using server = await startServer();
  assert.equal((await server.get("/healthz", server.otherNodeTls)).status, 403);
  assert.equal((await server.get("/containerLogs/shop/web/main", server.otherNodeTls)).status, 403);
});

test("logs are selected as asked, and a wrong container, pod or number is named", async () => {
  await using server = await startServer();
  const log = async (query: string) => await server.get(`/containerLogs/shop/web/main?${query}`);
  assert.deepEqual(await log(""), { status: 200, text: "one\ntwo\nthree\n" });
  assert.equal((await log("tailLines=2")).text, "two\nthree\n");
  assert.equal((await log("stream=Stderr")).text, "three\n");
  assert.equal((await log("sinceTime=2026-01-02T03:04:06Z")).text, "three\n");
  assert.equal((await log("limitBytes=5")).text, "one\nt");
  assert.match((await log("tailLines=1&timestamps=true")).text, /^2026-01-02T03:04:06\.000000Z three\n$/);
  assert.deepEqual(await log("tailLines=x"), { status: 400, text: "tailLines=x is not a number of 0 or more" });
  const missing = await server.get("/containerLogs/shop/web/other");
  assert.deepEqual([missing.status, missing.text], [400, "container other is not valid for pod web"]);
  assert.equal((await server.get("/containerLogs/shop/gone/main")).status, 404);
  assert.equal((await server.get("/nothing")).status, 404);
});

test("a followed log goes on until the container's output ends", async () => {
  await using server = await startServer();
  const followed = server.get("/containerLogs/shop/web/main?follow=true");
  await server.log.append("stdout", Buffer.from("four\n"), 1_767_323_047_000_000, 19);
  await server.log.close();
  assert.equal((await followed).text, "one\ntwo\nthree\nfour\n");
});

test("a node that forks lists its templates, and one that only boots has no such path", async () => {
  {
    await using server = await startServer();
    assert.equal((await server.get("/templates")).status, 404);
  }
  const templates: NodeTemplates = { list: async () => [], build: async () => [], remove: async () => {} };
  await using server = await startServer({ templates });
  assert.deepEqual(await server.get("/templates"), { status: 200, text: '{"templates":[]}' });
});

test("the pods of the node are listed", async () => {
  await using server = await startServer();
  const { text } = await server.get("/pods");
  const list = JSON.parse(text) as { kind: string; items: { metadata: { name: string } }[] };
  assert.equal(list.kind, "PodList");
  assert.deepEqual(
    list.items.map((one) => one.metadata.name),
    ["web"],
  );
});

test("exec runs the command with the container's variables, and refuses a command that is none", async () => {
  await using server = await startServer();
  const { host, ...tls } = server.tls;
  const open = (query: string): WebSocket =>
    new WebSocket(`wss://${host}:${server.port}/exec/shop/web/main?${query}`, ["v5.channel.k8s.io"], tls);
  const refused = open("stdout=1");
  const [, answer] = (await once(refused, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(answer.statusCode, 400);
  refused.on("error", () => {});
  refused.terminate();

  const socket = open("command=ls&command=-l&input=1&tty=1");
  await once(socket, "open");
  assert.equal(socket.protocol, "v5.channel.k8s.io");
  assert.deepEqual(server.execs, [
    { args: ["ls", "-l"], env: ["A=1"], workingDirectory: "", user: "", isTerminal: true, hasStdin: true },
  ]);
  const message = once(socket, "message");
  server.agent.send(frameTypes.stdout, "total 0");
  assert.deepEqual((await message)[0], Buffer.from("\u0001total 0"));
  const closed = once(socket, "close");
  server.agent.exit(0);
  await closed;
});

test("a command that is not there ends as in a shell: a word on stderr and exit code 127", async () => {
  await using server = await startServer();
  const { host, ...tls } = server.tls;
  const url = `wss://${host}:${server.port}/exec/shop/web/main?command=absent`;
  const socket = new WebSocket(url, ["v5.channel.k8s.io"], tls);
  const messages: string[] = [];
  socket.on("message", (data) => messages.push(Buffer.isBuffer(data) ? data.toString() : ""));
  await once(socket, "close");
  assert.equal(messages[0], "\u0002absent: not found\n");
  assert.ok(messages[1]?.startsWith("\u0003"));
  assert.match(messages[1] ?? "", /"reason":"ExitCode","message":"127"/);
});

test("a frame that breaks the protocol cuts its session and nothing else", async () => {
  await using server = await startServer();
  const { host, ...tls } = server.tls;
  const url = `wss://${host}:${server.port}/exec/shop/web/main?command=absent`;
  const socket = new WebSocket(url, ["v5.channel.k8s.io"], tls);
  socket.on("error", () => {});
  const ended = once(socket, "close");
  socket.once("upgrade", (response) => {
    // Reserved bits and an opcode that does not exist, unmasked.
    response.socket.write(Buffer.from([0xff, 0x7f, 0, 0]));
  });
  await ended;
  assert.deepEqual(await server.get("/healthz"), { status: 200, text: "ok" });
});

test("a port that is taken is named, with the flag to choose another", async () => {
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const { certPem, keyPem } = await (await createAuthority()).issue("node");
  await using directory = await temporaryDirectory("isopod-node-");
  await using images = await openImageStore({ directory: directory.path, logger: silentLogger });
  const starting = startKubeletServer({
    host: "127.0.0.1",
    port,
    tls: { certPem, keyPem, clientCaPem: certPem },
    logger: silentLogger,
    images,
    uploadsDirectory: directory.path,
    findPod: () => undefined,
    pods: () => [],
  });
  await assert.rejects(starting, (error) => {
    assert.ok(error instanceof NodeError);
    assert.equal(error.code, "PortInUse");
    assert.match(error.message, new RegExp(String(port)));
    assert.match(error.remedy ?? "", /--kubelet-port/);
    return true;
  });
  taken.close();
});
