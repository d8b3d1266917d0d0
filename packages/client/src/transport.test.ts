import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { ApiError, isNotFound, resources } from "@isopod/api";
import { ClientError } from "./client-error.ts";
import { KubeClient } from "./kube-client.ts";
import { startScriptedServer } from "./testing/scripted-server.ts";
import { startTestApi } from "./testing/test-api.ts";
import { Transport, warnings } from "./transport.ts";

test("a server that refuses the connection is told as unreachable, with what to do", async () => {
  const api = await startTestApi();
  const { config } = api;
  await api[Symbol.asyncDispose]();
  using client = new KubeClient(config);
  await assert.rejects(client.get(resources.pods, "default", "a"), (error) => {
    assert.ok(error instanceof ClientError);
    assert.equal(error.code, "Unreachable");
    assert.match(error.message, /nothing listens/);
    assert.match(error.remedy ?? "", /isopod up/);
    return true;
  });
});

test("who answers is believed by its certificate, and who asks by its credential", async () => {
  await using api = await startTestApi();
  await using other = await startScriptedServer((_request, response) => response.end("{}"));
  using stranger = new KubeClient({ ...api.config, caPem: other.config.caPem });
  await assert.rejects(stranger.get(resources.pods, "default", "a"), { code: "Unreachable" });

  using nobody = new KubeClient({ ...api.config, token: "wrong" });
  await assert.rejects(nobody.list(resources.pods), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, "Unauthorized");
    assert.equal(error.status.code, 401);
    return true;
  });
});

test("the server's Status becomes the error, with its reason and details", async () => {
  await using api = await startTestApi();
  await assert.rejects(api.client.get(resources.pods, "default", "absent"), (error) => {
    assert.ok(isNotFound(error));
    assert.ok(error instanceof ApiError);
    assert.equal(error.message, 'pods "absent" not found');
    assert.equal(error.status.details?.name, "absent");
    return true;
  });
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "x", namespace: "default" }, spec: {} } as const;
  await assert.rejects(api.client.transport.json("POST", "/api/v1/namespaces/default/pods", { body: pod }), {
    code: "Invalid",
  });
});

test("an answer that is no Status is told with its text and the code it came with", async () => {
  await using server = await startScriptedServer((_request, response) => {
    response.writeHead(503, { "content-type": "text/plain" });
    response.end("the proxy is tired\n");
  });
  using transport = new Transport(server.config);
  await assert.rejects(transport.json("GET", "/x"), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, "ServiceUnavailable");
    assert.equal(error.message, "the proxy is tired");
    return true;
  });
});

test("warnings of the server reach the caller, commas and quotes included", async () => {
  const seen: string[] = [];
  await using server = await startScriptedServer((_request, response) => {
    response.setHeader("warning", ['299 - "first, with \\"quotes\\""', '299 - "second"']);
    response.end("{}");
  });
  using transport = new Transport(server.config);
  await transport.json("GET", "/x", { onWarning: (text) => seen.push(text) });
  assert.deepEqual(seen, ['first, with "quotes"', "second"]);
  assert.deepEqual(warnings(undefined), []);
  assert.deepEqual(warnings("nonsense"), []);
});

test("a server that does not answer, or stops in the middle, is given up after the time-out", async () => {
  await using server = await startScriptedServer((request, response) => {
    if (request.url === "/half") response.write('{"kind":');
  });
  using transport = new Transport(server.config);
  await assert.rejects(transport.json("GET", "/silent", { timeoutMs: 50 }), { code: "Timeout" });
  await assert.rejects(transport.json("GET", "/half", { timeoutMs: 50 }), { code: "Timeout" });
});

test("a connection that breaks in mid-answer, and an answer that is not JSON, are told apart", async () => {
  await using server = await startScriptedServer((request, response) => {
    if (request.url === "/html") {
      response.end("<html>");
      return;
    }
    response.write('{"kind":', () => request.socket.destroy());
  });
  using transport = new Transport(server.config);
  await assert.rejects(transport.json("GET", "/cut"), { code: "BrokenStream", message: /ended before the answer did/ });
  await assert.rejects(transport.json("GET", "/html"), { code: "BrokenStream", message: /not JSON/ });
});

test("aborting rejects with the signal's reason, before and in the middle of an answer", async () => {
  const stop = new AbortController();
  const reason = new Error("the user left");
  await using server = await startScriptedServer((_request, response) => {
    response.write("{", () => stop.abort(reason));
  });
  using transport = new Transport(server.config);
  await assert.rejects(transport.json("GET", "/x", { signal: stop.signal }), reason);
  await assert.rejects(transport.json("GET", "/x", { signal: stop.signal }), reason);
});

test("a GET on a kept connection that the server has just closed is sent once more", async () => {
  const seen: string[] = [];
  await using server = await startScriptedServer((request, response) => {
    seen.push(request.url ?? "");
    if (request.url === "/again" && seen.length === 2) request.socket.destroy();
    else response.end("{}");
  });
  using transport = new Transport(server.config);
  await transport.json("GET", "/first");
  await transport.json("GET", "/again");
  assert.deepEqual(seen, ["/first", "/again", "/again"]);
});

test("a body is sent as JSON, text, bytes or a stream, and each arrives whole", async () => {
  await using server = await startScriptedServer((request, response) => {
    void request.toArray().then((chunks) => {
      const text = Buffer.concat(chunks).toString();
      response.end(JSON.stringify({ type: request.headers["content-type"], text, url: request.url }));
    });
  });
  using transport = new Transport(server.config);
  const post = async (body: object | string, contentType?: string): Promise<unknown> =>
    await transport.json("POST", "/x", {
      body,
      query: { many: ["a", "b"], none: undefined, yes: true },
      ...(contentType === undefined ? {} : { contentType }),
    });
  const url = "/x?many=a&many=b&yes=true";
  assert.deepEqual(await post({ a: "ü" }), { type: "application/json", text: '{"a":"ü"}', url });
  assert.deepEqual(await post("text", "text/plain"), { type: "text/plain", text: "text", url });
  assert.deepEqual(await post(Buffer.from("bytes")), { type: "application/json", text: "bytes", url });
  assert.deepEqual(await post(Readable.from(["a", "b"])), { type: "application/json", text: "ab", url });
});

test("open watches do not keep a burst of calls waiting, whose connections stay few", async () => {
  let connections = 0;
  await using server = await startScriptedServer((request, response) => {
    if (request.url === "/watch") response.write("\n");
    else setImmediate(() => response.end("{}"));
  });
  const sockets = new Set<unknown>();
  await using counting = await startScriptedServer((request, response) => {
    if (!sockets.has(request.socket)) connections += 1;
    sockets.add(request.socket);
    setImmediate(() => response.end("{}"));
  });
  using watching = new Transport(server.config);
  const watches = await Promise.all(Array.from({ length: 40 }, async () => await watching.send("GET", "/watch")));
  await watching.json("GET", "/call", { timeoutMs: 30_000 });
  for (const { body } of watches) body.destroy();
  using bursting = new Transport(counting.config);
  await Promise.all(Array.from({ length: 200 }, async () => await bursting.json("GET", "/call")));
  assert.ok(connections <= 32, `${connections} connections for 200 calls`);
});
