import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectSocket } from "node:net";
import { connect } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { apiErrorIn, forbidden, resources } from "@isopod/api";
import type { AggregatedRequest } from "./contract.ts";
import { ApiServerError } from "./errors.ts";
import { withMetadata } from "./objects/parts.ts";
import { listener } from "./server.ts";
import { elements, startTestServer, type TestServer } from "./testing/test-server.ts";

const aggregatedV2 =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

describe("the API server", () => {
  let test: TestServer;
  const seen: AggregatedRequest[] = [];
  before(async () => {
    test = await startTestServer({
      aggregated: [
        {
          group: "billing.isopod.dev",
          version: "v1",
          resources: [
            { name: "invoices", singularName: "invoice", namespaced: false, kind: "Invoice", verbs: ["get", "list"] },
          ],
          handle: async (request) => {
            seen.push(request);
            if (request.path.endsWith("/secret"))
              throw forbidden({ group: "billing.isopod.dev", plural: "invoices" }, "secret", "no");
            return { status: 200, body: { kind: "InvoiceList", apiVersion: "billing.isopod.dev/v1", items: [] } };
          },
        },
      ],
      admission: [
        ({ object, operation, warn }) => {
          if (operation === "DELETE" && object.metadata.name === "guarded")
            throw forbidden(resources.configmaps, "guarded", "it is guarded");
          if (operation !== "CREATE" || object.kind !== "ConfigMap") return object;
          warn("a hook was here");
          return withMetadata(object, { labels: { ...object.metadata.labels, hooked: "yes" } });
        },
      ],
    });
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  /** A request with exactly these credentials. */
  const raw = async (path: string, options: { headers?: Record<string, string>; cert?: string; key?: string }) => {
    const agent = new Agent({ keepAlive: false });
    const request = httpsRequest(`${test.server.url}${path}`, { ca: test.certificates.caPem, agent, ...options });
    request.end();
    const [response] = await once(request, "response");
    const text = Buffer.concat(await response.toArray()).toString();
    return { status: Number(response.statusCode), text, headers: response.headers };
  };

  it("lets nobody in without a credential, except to ask how it is", async () => {
    const anonymous = await raw("/api/v1/namespaces", {});
    assert.equal(anonymous.status, 401);
    const status: { readonly kind: string; readonly reason: string } = JSON.parse(anonymous.text);
    assert.deepEqual([status.kind, status.reason], ["Status", "Unauthorized"]);
    for (const authorization of ["Bearer wrong", "Bearer ", "Basic YTpi"]) {
      assert.equal((await raw("/api/v1/namespaces", { headers: { Authorization: authorization } })).status, 401);
    }
    for (const path of ["/healthz", "/livez", "/readyz", "/readyz/store", "/version"]) {
      assert.equal((await raw(path, {})).status, 200, path);
    }
    assert.equal((await raw("/healthz", {})).text, "ok");
    assert.match((await raw("/readyz?verbose", {})).text, /\[\+\]store ok/);
    assert.equal((await raw("/readyz/unknown", {})).status, 401);
  });

  it("knows a node by its client certificate, and believes no other authority", async () => {
    const node = test.certificates.nodes.get("node-1");
    const review = async (credential: { cert: string; key: string }) => {
      const agent = new Agent({ keepAlive: false });
      const request = httpsRequest(`${test.server.url}/apis/authentication.k8s.io/v1/selfsubjectreviews`, {
        method: "POST",
        ca: test.certificates.caPem,
        agent,
        ...credential,
      });
      request.end("{}");
      const [response] = await once(request, "response");
      return { status: Number(response.statusCode), text: Buffer.concat(await response.toArray()).toString() };
    };
    const known = await review({ cert: node?.client.certPem ?? "", key: node?.client.keyPem ?? "" });
    assert.equal(known.status, 201, known.text);
    const { status }: { status: { userInfo: unknown } } = JSON.parse(known.text);
    assert.deepEqual(status.userInfo, {
      username: "system:node:node-1",
      groups: ["system:nodes", "system:authenticated"],
    });
    await using other = await startTestServer();
    const { admin } = other.certificates;
    assert.equal((await review({ cert: admin.certPem, key: admin.keyPem })).status, 401);
  });

  it("says that everybody may do everything, for now", async () => {
    const spec = { resourceAttributes: { verb: "create", resource: "pods" } };
    const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec };
    assert.equal(String((await test.call("POST", path, body)).json.status?.allowed), "true");
    assert.equal((await test.call("GET", path)).status, 405);
    const impersonated = await test.call("GET", "/api/v1/pods", undefined, { "Impersonate-User": "somebody" });
    assert.equal(impersonated.status, 400);
  });

  it("tells what it serves, at once to those who can take it", async () => {
    const core = (await test.call("GET", "/api", undefined, { Accept: aggregatedV2 })).json;
    assert.equal(core.kind, "APIGroupDiscoveryList");
    const coreResources = elements(core.items?.[0]?.versions?.[0]?.resources);
    const pods = coreResources.find(({ resource }) => String(resource) === "pods");
    assert.equal(pods?.scope, "Namespaced");
    assert.ok(elements(pods?.subresources).some(({ subresource }) => String(subresource) === "log"));
    const eviction = elements(pods?.subresources).find(({ subresource }) => String(subresource) === "eviction");
    assert.deepEqual(eviction?.responseKind, { group: "policy", version: "v1", kind: "Eviction" });
    const groups = await test.call("GET", "/apis", undefined, { Accept: aggregatedV2 });
    assert.equal(
      groups.headers["content-type"],
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
    const groupNames = elements(groups.json.items).map(({ metadata }) => String(metadata?.name));
    assert.ok(groupNames.includes("isopod.dev") && groupNames.includes("billing.isopod.dev"));
    const again = await test.call("GET", "/apis", undefined, {
      Accept: aggregatedV2,
      "If-None-Match": String(groups.headers["etag"]),
    });
    assert.equal(again.status, 304);
  });

  it("tells it in the old way to older clients, which know only v2beta1", async () => {
    const v2beta1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    const api = (await test.call("GET", "/api", undefined, { Accept: v2beta1 })).json;
    assert.equal(api.kind, "APIVersions");
    const groups = (await test.call("GET", "/apis")).json;
    assert.equal(groups.kind, "APIGroupList");
    const core = (await test.call("GET", "/api/v1")).json;
    assert.equal(core.kind, "APIResourceList");
    const entry = elements(core.resources).find(({ name }) => String(name) === "pods/eviction");
    assert.deepEqual([String(entry?.kind), String(entry?.group)], ["Eviction", "policy"]);
    const ours = (await test.call("GET", "/apis/isopod.dev/v1alpha1")).json;
    assert.ok(elements(ours.resources).some(({ kind }) => String(kind) === "VPC"));
    assert.equal((await test.call("GET", "/apis/isopod.dev")).json.kind, "APIGroup");
    const version = (await test.call("GET", "/version")).json;
    assert.deepEqual([String(version.major), String(version.minor)], ["1", "35"]);
  });

  it("publishes schemas that clients may keep by their hash", async () => {
    const index = (await test.call("GET", "/openapi/v3")).json;
    const url = String(index.paths?.["api/v1"]?.serverRelativeURL);
    assert.match(url, /^\/openapi\/v3\/api\/v1\?hash=/);
    const document = await test.call("GET", url);
    assert.equal(document.status, 200);
    assert.match(String(document.headers["cache-control"]), /immutable/);
    assert.equal(
      (await test.call("GET", url, undefined, { "If-None-Match": String(document.headers["etag"]) })).status,
      304,
    );
    assert.equal((await test.call("GET", "/openapi/v3/api/v1?hash=OLD")).status, 301);
    assert.equal((await test.call("GET", "/openapi/v3/apis/none/v1")).status, 404);
    assert.match(String((await test.call("GET", "/openapi/v2")).headers["content-type"]), /spec\.v2\.v1\.0\+protobuf/);
  });

  it("begins with the namespaces every cluster has", async () => {
    for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
      const { json } = await test.call("GET", `/api/v1/namespaces/${name}`);
      assert.equal(json.status?.phase, "Active");
      assert.equal(json.metadata?.labels?.["kubernetes.io/metadata.name"], name);
    }
  });

  it("hands aggregated groups to whoever serves them", async () => {
    const answer = await test.call("POST", "/apis/billing.isopod.dev/v1/invoices/x/pay?by=card", { amount: 1 });
    assert.equal(answer.json.kind, "InvoiceList");
    const request = seen.at(-1);
    assert.deepEqual([request?.method, request?.path, request?.query.get("by")], ["POST", "/invoices/x/pay", "card"]);
    assert.equal(request?.user.name, "admin");
    assert.equal(Buffer.from(request?.body ?? []).toString(), '{"amount":1}');
    assert.equal((await test.call("GET", "/apis/billing.isopod.dev/v1/secret")).status, 403);
    const listed = (await test.call("GET", "/apis/billing.isopod.dev/v1")).json;
    assert.equal(listed.kind, "APIResourceList");
  });

  it("lets hooks change, warn of and refuse writes", async () => {
    const configMaps = "/api/v1/namespaces/default/configmaps";
    const made = await test.call("POST", configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "guarded" },
    });
    assert.equal(made.json.metadata?.labels?.hooked, "yes");
    assert.match(String(made.headers["warning"]), /a hook was here/);
    assert.equal((await test.call("DELETE", `${configMaps}/guarded`)).status, 403);
  });

  it("ends the connection of an upgrade it refuses, also when the client neither reads its end nor gives up", async () => {
    const host = "127.0.0.1";
    const connection = connectSocket({ port: test.server.port, host, allowHalfOpen: true });
    const socket = connect({ socket: connection, host, ca: test.certificates.caPem });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    // What comes behind the request hides the client's own end from a server that does not read.
    socket.write("GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nmore");
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString();
    });
    await once(socket, "end");
    assert.match(answer, /^HTTP\/1.1 401 /);
    const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
    // Only a connection that is gone on both sides answers this with a reset.
    const prod = setInterval(() => socket.write("more"), 50);
    try {
      const isClosed = await Promise.race([closed, delay(20_000, false, { ref: false })]);
      assert.ok(isClosed, "the server still holds the connection");
    } finally {
      clearInterval(prod);
      socket.destroy();
    }
  });

  it("gives a client that nobody knows yet a bounded time to say what it wants", () => {
    const server = listener({ tls: { ...test.certificates.server, clientCaPem: test.certificates.caPem } });
    assert.ok(server.headersTimeout > 0, "connections that send nothing would stay for ever");
  });

  it("names the port and the way out when the port is taken", async () => {
    await assert.rejects(startTestServer({ port: test.server.port }), (error) => {
      assert.ok(error instanceof ApiServerError);
      assert.equal(error.code, "PortInUse");
      assert.match(error.message, new RegExp(String(test.server.port)));
      assert.match(error.remedy ?? "", /--port/);
      return true;
    });
  });

  it("refuses certificates that cannot be used", async () => {
    await assert.rejects(
      startTestServer({ tls: { certPem: "nothing", keyPem: "nothing", clientCaPem: "nothing" } }),
      (error) => error instanceof ApiServerError && error.code === "BadCredentials" && apiErrorIn(error) === undefined,
    );
  });

  it("ends its watches when it closes", async () => {
    const closing = await startTestServer();
    const events = closing.watch("/api/v1/namespaces?watch=true", new AbortController().signal);
    await events.next();
    const rest = (async () => {
      // However it ends, it ends.
      for await (const event of events) assert.equal(event.type, "ADDED");
    })().catch(() => {});
    await closing[Symbol.asyncDispose]();
    await rest;
  });
});
