import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { parseChallenge } from "../registry/challenge.ts";
import { buildTar } from "../testing/tar-builder.ts";
import { startFront } from "../testing/test-front.ts";
import { buildTestImage, pushImage } from "../testing/test-image.ts";
import { startRegistry } from "../testing/test-registry.ts";
import { isError, openStore } from "../testing/test-store.ts";

const image = buildTestImage([{ tar: buildTar([{ path: "secret", content: "s" }]) }]);
const layer = image.layers[0] ?? assert.fail("there is a layer");
const credentials = { username: "alice", password: "wonder:land" };
const basic = `Basic ${Buffer.from("alice:wonder:land").toString("base64")}`;
// As `htpasswd -nbB alice wonder:land` prints it.
const htpasswd = "alice:$2y$05$5nStAev580z267mmeMDBl.65PjACMCX7LP.Hxvp4F.6xkbzLLUVQa";

test("Basic login to a registry with a password file", async () => {
  await using registry = await startRegistry({ htpasswd });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${registry.host}/x`), isError("Unauthorized"));
  const wrong = { username: "alice", password: "no" };
  await assert.rejects(store.pull(`${registry.host}/x`, { credentials: wrong }), isError("Unauthorized"));
  // Let in, it finds nothing.
  await assert.rejects(store.pull(`${registry.host}/x`, { credentials }), isError("NotFound"));
});

test("tokens are fetched with the credentials, sent to the registry, and renewed when they run out", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "team/x", "v1", image);
  const issued: string[] = [];
  let expired = false;
  await using front = await startFront(registry.host, async (request, response, forward) => {
    const url = new URL(request.url ?? "", "http://front");
    const { authorization } = request.headers;
    if (url.pathname === "/token") {
      assert.equal(url.searchParams.get("service"), "test service");
      assert.equal(url.searchParams.get("scope"), "repository:team/x:pull");
      if (authorization !== undefined && authorization !== basic) return void response.writeHead(401).end();
      const token = `${authorization === undefined ? "anonymous" : "alice"}-${issued.length}`;
      issued.push(token);
      return void response.end(JSON.stringify({ token, expires_in: 60 }));
    }
    const isLayer = url.pathname.endsWith(layer.digest);
    // The first token stops working before the layer.
    const isValid = authorization === `Bearer ${issued.at(-1)}` && issued.at(-1)?.startsWith("alice") === true;
    if (isValid && !(isLayer && !expired)) return await forward();
    expired ||= isLayer;
    const challenge = `Bearer realm="http://${request.headers.host}/token",service="test service",scope="other"`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${front.host}/team/x:v1`), isError("Unauthorized"));
  const wrong = { username: "alice", password: "no" };
  await assert.rejects(store.pull(`${front.host}/team/x:v1`, { credentials: wrong }), isError("Unauthorized"));
  const pulled = await store.pull(`${front.host}/team/x:v1`, { credentials });
  assert.equal(pulled.digest, image.manifest.digest);
  assert.deepEqual(issued, ["anonymous-0", "alice-1", "alice-2"]);
});

test("a redirect to another host does not take the login along", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  const seen: (string | undefined)[] = [];
  await using storage = await startFront(registry.host, async (request, _response, forward) => {
    seen.push(request.headers.authorization);
    await forward();
  });
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.headers.authorization !== basic) {
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    }
    if (request.url?.includes("/blobs/") !== true) return await forward();
    response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await store.pull(`${front.host}/x:v1`, { credentials });
  assert.deepEqual(seen, [undefined, undefined]);
});

test("a redirect or a login that would leave TLS, or never ends, is refused", async () => {
  let location = "http://registry.example/blob";
  await using front = await startFront("", (request, response) => {
    if (request.url === "/v2/") return void response.end();
    if (request.url?.startsWith("/v2/login/") === true) {
      const challenge = 'Bearer realm="http://attacker.example/token",service="x"';
      return void response.writeHead(401, { "www-authenticate": challenge }).end();
    }
    response.writeHead(302, { location }).end();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  await assert.rejects(store.pull(`${front.host}/x`), isError("RegistryFailed"));
  location = "/v2/x/manifests/again";
  await assert.rejects(store.pull(`${front.host}/x`), isError("RegistryFailed"));
  await assert.rejects(store.pull(`${front.host}/login/x`, { credentials }), isError("Unauthorized"));
});

test("pulls with different credentials never share an answer", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.host, "x", "v1", image);
  await using front = await startFront(registry.host, async (request, response, forward) => {
    if (request.headers.authorization === basic || request.url === "/v2/") return await forward();
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
  });
  await using directory = await temporaryDirectory();
  await using store = await openStore(directory.path);
  const name = `${front.host}/x:v1`;
  const [allowed, refused] = await Promise.allSettled([store.pull(name, { credentials }), store.pull(name)]);
  assert.equal(allowed.status, "fulfilled");
  assert.ok(refused.status === "rejected" && isError("Unauthorized")(refused.reason));
});

test("challenges are understood in the forms registries use", () => {
  assert.deepEqual(parseChallenge('Bearer realm="https://a/t",service="s",scope="x"'), {
    scheme: "bearer",
    realm: "https://a/t",
    service: "s",
  });
  assert.deepEqual(parseChallenge('Basic realm="r", Bearer realm="https://a/t"'), {
    scheme: "bearer",
    realm: "https://a/t",
    service: undefined,
  });
  assert.deepEqual(parseChallenge('basic realm="r"'), { scheme: "basic" });
  assert.equal(parseChallenge("Negotiate"), undefined);
  assert.equal(parseChallenge(""), undefined);
});
