import assert from "node:assert/strict";
import { connect } from "node:tls";
import { once } from "node:events";
import { request as httpsRequest } from "node:https";
import { after, before, describe, it } from "node:test";
import { adminToken, elements, type Json, startTestServer, type TestServer } from "../testing/test-server.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const mergePatch = { "Content-Type": "application/merge-patch+json" };

interface WatchEvent {
  readonly type: string;
  readonly object: Json;
}

describe("watching", () => {
  let test: TestServer;
  before(async () => {
    test = await startTestServer({ bookmarkIntervalMs: 150, slowWatcherMs: 300 });
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  const create = async (name: string, labels: object = {}) => {
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, labels } };
    const answer = await test.call("POST", configMaps, body);
    assert.equal(answer.status, 201, answer.text);
    return answer.json;
  };
  const current = async () => (await test.call("GET", `${configMaps}?limit=1`)).json.metadata?.resourceVersion;
  const nameOf = ({ type, object }: WatchEvent) => `${type} ${object.metadata?.name}`;

  /** Reads a watch up to the event that `isLast` holds for. */
  const readUntil = async (query: string, isLast: (event: WatchEvent, count: number) => boolean) => {
    const stop = new AbortController();
    const events: WatchEvent[] = [];
    for await (const event of test.watch(`${configMaps}?watch=true&${query}`, stop.signal)) {
      events.push(event);
      if (isLast(event, events.length)) stop.abort();
    }
    return events;
  };

  it("tells what happens after a version, in order, with each version's number", async () => {
    const from = await current();
    const made = await create("w1");
    const patched = (await test.call("PATCH", `${configMaps}/w1`, { data: { a: "1" } }, mergePatch)).json;
    await test.call("DELETE", `${configMaps}/w1`);
    const events = await readUntil(`resourceVersion=${from}`, (_, count) => count === 3);
    assert.deepEqual(events.map(nameOf), ["ADDED w1", "MODIFIED w1", "DELETED w1"]);
    assert.deepEqual(events[0]?.object, made);
    assert.deepEqual(events[1]?.object, patched);
    const versions = events.map(({ object }) => Number(object.metadata?.resourceVersion));
    assert.ok((versions[2] ?? 0) > (versions[1] ?? 0), "a deleted object shows the deletion's version");
  });

  it("tells live events to every watcher the same way", async () => {
    const from = await current();
    const watchers = Array.from({ length: 5 }, () => readUntil(`resourceVersion=${from}`, (_, count) => count === 10));
    await Promise.all(Array.from({ length: 10 }, (_, index) => create(`live-${index}`)));
    const [first, ...others] = await Promise.all(watchers);
    for (const events of others) assert.deepEqual(events, first);
  });

  it("starts with what there is when no version is named", async () => {
    await create("there");
    for (const query of ["", "resourceVersion=0&"]) {
      const events = await readUntil(`${query}fieldSelector=metadata.name%3Dthere`, () => true);
      assert.deepEqual(events.map(nameOf), ["ADDED there"]);
    }
  });

  it("adds and deletes as objects begin and cease to match a selector", async () => {
    await create("turning", { color: "green" });
    const from = await current();
    const label = async (color: string) =>
      (await test.call("PATCH", `${configMaps}/turning`, { metadata: { labels: { color } } }, mergePatch)).json;
    await label("red");
    await test.call("PATCH", `${configMaps}/turning`, { data: { a: "b" } }, mergePatch);
    const last = await label("blue");
    await label("black");
    const events = await readUntil(
      `resourceVersion=${from}&labelSelector=color%3Dred`,
      ({ type }) => type === "DELETED",
    );
    assert.deepEqual(events.map(nameOf), ["ADDED turning", "MODIFIED turning", "DELETED turning"]);
    assert.equal(events[2]?.object.metadata?.labels?.color, "red", "as it last matched");
    assert.equal(events[2]?.object.metadata?.resourceVersion, last.metadata?.resourceVersion);
  });

  it("sends initial events and marks their end (WatchList)", async () => {
    await create("initial");
    const query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    const events = await readUntil(query, ({ type }) => type === "BOOKMARK");
    const end = events.at(-1)?.object;
    assert.equal(end?.kind, "ConfigMap");
    assert.equal(end?.metadata?.annotations?.["k8s.io/initial-events-end"], "true");
    assert.ok(Number(end?.metadata?.resourceVersion) > 0);
    assert.ok(events.slice(0, -1).every(({ type }) => type === "ADDED"));
    assert.ok(events.map(nameOf).includes("ADDED initial"));
    const wrong = await test.call("GET", `${configMaps}?watch=true&sendInitialEvents=true`);
    assert.equal(wrong.status, 422);
  });

  it("sends bookmarks that follow the store even when nothing happens here", async () => {
    const from = await current();
    await test.call("POST", "/api/v1/namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "elsewhere" },
    });
    const target = Number((await test.call("GET", "/api/v1/namespaces/elsewhere")).json.metadata?.resourceVersion);
    const events = await readUntil(`resourceVersion=${from}&allowWatchBookmarks=true`, ({ type, object }) => {
      return type === "BOOKMARK" && Number(object.metadata?.resourceVersion) >= target;
    });
    assert.ok(events.every(({ type }) => type === "BOOKMARK"));
  });

  it("ends by itself after the time the client names, with a last bookmark", async () => {
    const events = await readUntil(
      `resourceVersion=${await current()}&timeoutSeconds=1&allowWatchBookmarks=true`,
      () => false,
    );
    assert.equal(events.at(-1)?.type, "BOOKMARK");
  });

  it("tells in the stream when its version is too old", async () => {
    const from = await current();
    await create("compacting");
    await test.store.compact(await test.store.currentRevision());
    const [event] = await readUntil(`resourceVersion=${from}`, () => true);
    assert.equal(event?.type, "ERROR");
    assert.deepEqual([event?.object.code, event?.object.reason], [410, "Expired"]);
  });

  it("refuses a version from the future with 504", async () => {
    const answer = await test.call("GET", `${configMaps}?watch=true&resourceVersion=100000000`);
    assert.equal(answer.status, 504);
  });

  it("sends headers before there is any event", async () => {
    const request = httpsRequest(`${test.server.url}${configMaps}?watch=true&resourceVersion=${await current()}`, {
      ca: test.certificates.caPem,
      headers: { Authorization: `Bearer ${adminToken}` },
    });
    request.end();
    const [response] = await once(request, "response");
    assert.equal(response.statusCode, 200);
    request.destroy();
  });

  it("streams tables, the columns only once", async () => {
    const from = await current();
    await create("t1");
    await create("t2");
    const stop = new AbortController();
    const request = httpsRequest(`${test.server.url}${configMaps}?watch=true&resourceVersion=${from}`, {
      ca: test.certificates.caPem,
      headers: { Authorization: `Bearer ${adminToken}`, Accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
      signal: stop.signal,
    });
    request.on("error", () => {});
    request.end();
    const [response] = await once(request, "response");
    let text = "";
    for await (const chunk of response) {
      text += String(chunk);
      if (text.split("\n").length > 2) break;
    }
    stop.abort();
    const events: readonly WatchEvent[] = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      events.map(({ object }) => elements(object.columnDefinitions).length > 0),
      [true, false],
    );
    assert.deepEqual(
      events.map(({ object }) => String(object.rows?.[0]?.cells?.[0])),
      ["t1", "t2"],
    );
  });

  it("ends a watcher that does not read", async () => {
    const from = await current();
    const socket = connect({ host: "127.0.0.1", port: test.server.port, ca: test.certificates.caPem });
    await once(socket, "secureConnect");
    socket.pause();
    socket.write(
      `GET ${configMaps}?watch=true&resourceVersion=${from} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminToken}\r\n\r\n`,
    );
    const big = "x".repeat(500_000);
    await create("slow");
    for (let index = 0; index < 40; index++) {
      await test.call("PATCH", `${configMaps}/slow`, { data: { a: `${index}${big}` } }, mergePatch);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    let sizeBytes = 0;
    socket.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
    });
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "close");
    assert.ok(sizeBytes < 40 * big.length, "what the client would not take was not kept for it");
  });
});
