import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpsRequest } from "node:https";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { createBoundPod, type FakeKubelet, registerNode, startFakeKubelet } from "../testing/fake-kubelet.ts";
import { adminToken, podNamed, startTestServer, type TestServer } from "../testing/test-server.ts";

const pods = "/api/v1/namespaces/default/pods";

describe("what is asked of a node's kubelet", () => {
  let test: TestServer;
  let kubelet: FakeKubelet;
  before(async () => {
    test = await startTestServer();
    kubelet = await startFakeKubelet(test.certificates, "node-1");
    await registerNode(test, "node-1", kubelet.port);
    for (const name of ["one", "waiting", "absent"]) await createBoundPod(test, "node-1", podNamed(name), name);
    const containers = [
      { name: "app", image: "i" },
      { name: "sidecar", image: "i" },
    ];
    const two = { apiVersion: "v1", kind: "Pod", metadata: { name: "two" }, spec: { containers } };
    await createBoundPod(test, "node-1", two, "two");
    await test.call("POST", pods, podNamed("nowhere"));
  });
  after(async () => {
    await kubelet[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const lastRequest = () => kubelet.requests.at(-1);
  const headers = { Authorization: `Bearer ${adminToken}` };

  it("passes logs through, with their options, under the API server's own credential", async () => {
    const answer = await test.call("GET", `${pods}/one/log?tailLines=5&timestamps=true&pretty=1`);
    assert.deepEqual([answer.status, answer.text], [200, "line 1\nline 2\n"]);
    assert.equal(answer.headers["content-type"], "text/plain");
    assert.equal(lastRequest()?.path, "/containerLogs/default/one/c");
    assert.equal(String(lastRequest()?.query), "timestamps=true&tailLines=5");
    assert.equal(lastRequest()?.caller, "kube-apiserver-kubelet-client");
  });

  it("follows logs as they come, and lets go when the client does", async () => {
    const request = httpsRequest(`${test.server.url}${pods}/one/log?follow=true`, {
      ca: test.certificates.caPem,
      headers,
    });
    request.end();
    const [response] = await once(request, "response");
    const [chunk] = await once(response, "data");
    assert.equal(String(chunk), "line 1\nline 2\n");
    request.destroy();
    await lastRequest()?.closed;
  });

  it("chooses the container, or says between which to choose", async () => {
    const two = async (query: string) => await test.call("GET", `${pods}/two/log${query}`);
    const open = await two("");
    assert.equal(open.status, 400);
    assert.equal(open.json.message, "a container name must be specified for pod two, choose one of: [app sidecar]");
    assert.equal((await two("?container=other")).json.message, "container other is not valid for pod two");
    assert.equal((await two("?container=sidecar")).status, 200);
    assert.equal(lastRequest()?.path, "/containerLogs/default/two/sidecar");
    const annotations = { "kubectl.kubernetes.io/default-container": "app" };
    const mergePatch = { "Content-Type": "application/merge-patch+json" };
    await test.call("PATCH", `${pods}/two`, { metadata: { annotations } }, mergePatch);
    assert.equal((await two("")).status, 200);
    assert.equal(lastRequest()?.path, "/containerLogs/default/two/app");
  });

  it("tells the kubelet's own words when it refuses, and ours when there is none", async () => {
    const waiting = await test.call("GET", `${pods}/waiting/log`);
    assert.deepEqual([waiting.status, waiting.json.reason], [400, "BadRequest"]);
    assert.equal(waiting.json.message, 'container "c" in pod "waiting" is waiting to start: ContainerCreating');
    const nowhere = await test.call("GET", `${pods}/nowhere/log`);
    assert.equal(nowhere.json.message, "pod nowhere does not have a host assigned");
    assert.equal((await test.call("GET", `${pods}/none/log`)).status, 404);
    await registerNode(test, "node-off", 1);
    await createBoundPod(test, "node-off", podNamed("off"), "off");
    const unreachable = await test.call("GET", `${pods}/off/log`);
    assert.equal(unreachable.status, 503);
    assert.match(String(unreachable.json.message), /the kubelet at 127\.0\.0\.1:1 cannot be reached/);
  });

  it("believes no other certificate than the node's own", async () => {
    await registerNode(test, "node-2", kubelet.port);
    await createBoundPod(test, "node-2", podNamed("impostor"), "impostor");
    const answer = await test.call("GET", `${pods}/impostor/log`);
    assert.equal(answer.status, 503);
  });

  const openExec = (path: string, protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"]) =>
    new WebSocket(`${test.server.url.replace("https", "wss")}${path}`, protocols, {
      ca: test.certificates.caPem,
      headers,
    });

  it("joins client and kubelet for exec, in the kubelet's terms", async () => {
    const socket = openExec(`${pods}/one/exec?command=cat&command=-n&stdin=true&stdout=true&stderr=true&tty=false`);
    const messages: string[] = [];
    socket.on("message", (data) => {
      const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
      messages.push(`${bytes[0]}:${bytes.subarray(1)}`);
    });
    await once(socket, "open");
    assert.equal(socket.protocol, "v5.channel.k8s.io");
    socket.send(Buffer.concat([Buffer.from([0]), Buffer.from("hello")]));
    socket.send(Buffer.from([255, 0]));
    await once(socket, "close");
    assert.deepEqual(messages, ["1:cat -n\n", "1:hello", '3:{"metadata":{},"status":"Success"}']);
    assert.equal(lastRequest()?.path, "/exec/default/one/c");
    assert.equal(String(lastRequest()?.query), "command=cat&command=-n&input=1&output=1&error=1");
  });

  it("ends the kubelet's side of an exec when the client goes away", async () => {
    const socket = openExec(`${pods}/one/exec?command=sleep&stdin=true&stdout=true`);
    await once(socket, "open");
    socket.terminate();
    await lastRequest()?.closed;
  });

  it("answers an exec that cannot be with a Status", async () => {
    const refused = async (path: string) => {
      const socket = openExec(path);
      socket.on("error", () => {});
      const [, response] = await once(socket, "unexpected-response");
      const status: { readonly code: number; readonly message: string } = JSON.parse(
        Buffer.concat(await response.toArray()).toString(),
      );
      socket.terminate();
      return status;
    };
    assert.equal((await refused(`${pods}/none/exec?command=ls`)).message, 'pods "none" not found');
    assert.equal((await refused(`${pods}/absent/exec?command=ls`)).message, "no such pod on the node");
    assert.equal((await refused(`${pods}/one/log`)).code, 400);
  });

  it("refuses SPDY and strangers", async () => {
    const upgrade = { ...headers, Connection: "Upgrade", Upgrade: "SPDY/3.1" };
    const spdy = await test.call("POST", `${pods}/one/exec?command=ls`, undefined, upgrade);
    assert.equal(spdy.status, 400);
    assert.match(String(spdy.json.message), /needs WebSocket \(kubectl 1\.30 or newer\)/);
    const stranger = await test.call("GET", `${pods}/one/exec`, undefined, {
      ...upgrade,
      Authorization: "Bearer wrong",
    });
    assert.equal(stranger.status, 401);
  });

  it("streams any request to a node's own API and its answer back", async () => {
    const size = 8 * 1024 * 1024;
    const body = Buffer.alloc(size, "x");
    const answer = await test.call("PUT", "/api/v1/nodes/node-1/proxy/echo?a=b%2Fc", body, {
      "Content-Type": "application/x-tar",
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["x-method"], "PUT");
    assert.equal(answer.text.length, size);
    assert.equal(lastRequest()?.query.get("a"), "b/c");
    assert.equal((await test.call("GET", "/api/v1/nodes/node-1/proxy/other")).text, "no such path");
    assert.equal((await test.call("GET", "/api/v1/nodes/none/proxy/")).status, 404);
  });

  it("hands an upload on piece by piece", async () => {
    const request = httpsRequest(`${test.server.url}/api/v1/nodes/node-1/proxy/echo`, {
      method: "POST",
      ca: test.certificates.caPem,
      headers,
    });
    request.write("first");
    const [response] = await once(request, "response");
    assert.equal(String((await once(response, "data"))[0]), "first");
    request.end("last");
    assert.equal(Buffer.concat(await response.toArray()).toString(), "last");
  });
});
