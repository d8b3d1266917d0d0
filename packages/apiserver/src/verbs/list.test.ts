import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { elements, names, podNamed, startTestServer, type TestServer } from "../testing/test-server.ts";

const pods = "/api/v1/namespaces/default/pods";
const tableAccept = {
  Accept:
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
};

describe("reading collections", () => {
  let test: TestServer;
  before(async () => {
    test = await startTestServer();
    for (let index = 0; index < 7; index++) {
      const labels = { app: index % 2 === 0 ? "even" : "odd", index: String(index) };
      await test.call("POST", pods, podNamed(`p${index}`, { labels }));
    }
    await test.call("POST", "/api/v1/namespaces/kube-public/pods", podNamed("other"));
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
  });

  const list = async (query: string, headers = {}) => await test.call("GET", `${pods}?${query}`, undefined, headers);

  it("lists one namespace, or all", async () => {
    const one = (await list("")).json;
    assert.deepEqual([one.kind, one.apiVersion], ["PodList", "v1"]);
    assert.equal(names(one).length, 7);
    assert.match(String(one.metadata?.resourceVersion), /^\d+$/);
    assert.equal(elements(one.items)[0]?.kind, "Pod");
    assert.equal(names((await test.call("GET", "/api/v1/pods")).json).length, 8);
  });

  it("selects by labels and fields", async () => {
    assert.deepEqual(names((await list("labelSelector=app%3Dodd")).json), ["p1", "p3", "p5"]);
    assert.deepEqual(names((await list("labelSelector=app%3Deven,index+in+(0,1,2)")).json), ["p0", "p2"]);
    assert.deepEqual(names((await list("fieldSelector=metadata.name%3Dp4")).json), ["p4"]);
    assert.deepEqual(names((await list("fieldSelector=metadata.name%3Dp4,status.phase%3DRunning")).json), []);
    assert.deepEqual(names((await list("fieldSelector=metadata.name!%3Dp4&labelSelector=app%3Deven")).json), [
      "p0",
      "p2",
      "p6",
    ]);
    const everywhere = await test.call("GET", "/api/v1/pods?fieldSelector=metadata.namespace%3Dkube-public");
    assert.deepEqual(names(everywhere.json), ["other"]);
    assert.equal((await list("fieldSelector=spec.unknown%3D1")).status, 400);
    assert.equal((await list("labelSelector=a%3D%3D%3Db")).status, 400);
  });

  it("pages through one version of the list while it changes", async () => {
    const first = (await list("limit=3")).json;
    assert.deepEqual(names(first), ["p0", "p1", "p2"]);
    assert.equal(first.metadata?.remainingItemCount, 4);
    await test.call("POST", pods, podNamed("p55"));
    const second = (await list(`limit=3&continue=${first.metadata?.continue}`)).json;
    assert.deepEqual(names(second), ["p3", "p4", "p5"]);
    assert.equal(second.metadata?.resourceVersion, first.metadata?.resourceVersion);
    const third = (await list(`limit=3&continue=${second.metadata?.continue}`)).json;
    assert.deepEqual(names(third), ["p6"]);
    assert.equal(third.metadata?.continue, undefined);
  });

  it("pages through matches of a selector, without promising how many are left", async () => {
    const first = (await list("limit=2&labelSelector=app%3Dodd")).json;
    assert.deepEqual(names(first), ["p1", "p3"]);
    assert.equal(first.metadata?.remainingItemCount, undefined);
    const second = (await list(`limit=2&labelSelector=app%3Dodd&continue=${first.metadata?.continue}`)).json;
    assert.deepEqual(names(second), ["p5"]);
    assert.equal(second.metadata?.continue, undefined);
  });

  it("tells a client whose page is too old how to go on", async () => {
    const first = (await list("limit=3")).json;
    await test.call("POST", "/api/v1/namespaces/kube-public/pods", podNamed("later"));
    await test.store.compact(await test.store.currentRevision());
    const stale = await list(`limit=3&continue=${first.metadata?.continue}`);
    assert.deepEqual([stale.status, stale.json.reason], [410, "Expired"]);
    const token = stale.json.metadata?.continue;
    assert.ok(token);
    const rest = await list(`continue=${token}`);
    assert.equal(rest.status, 200);
    assert.deepEqual(names(rest.json).slice(0, 2), ["p3", "p4"]);
    assert.equal((await list("continue=rubbish")).status, 400);
    const exact = `resourceVersion=${first.metadata?.resourceVersion}&resourceVersionMatch=Exact`;
    assert.equal((await list(exact)).status, 410);
  });

  it("keeps the rules of resource versions", async () => {
    const now = (await list("")).json.metadata?.resourceVersion;
    await test.call("POST", pods, podNamed("newest"));
    const exact = await list(`resourceVersion=${now}&resourceVersionMatch=Exact`);
    assert.ok(!names(exact.json).includes("newest"));
    assert.equal(exact.json.metadata?.resourceVersion, now);
    const notOlder = await list(`resourceVersion=${now}&resourceVersionMatch=NotOlderThan`);
    assert.ok(names(notOlder.json).includes("newest"));
    assert.ok(names((await list("resourceVersion=0")).json).includes("newest"));
    for (const query of [
      "resourceVersionMatch=Exact",
      "resourceVersion=0&resourceVersionMatch=Exact",
      "resourceVersion=1&resourceVersionMatch=Sometimes",
      "sendInitialEvents=true",
    ]) {
      const answer = await list(query);
      assert.deepEqual([answer.status, answer.json.reason], [422, "Invalid"], query);
    }
    assert.equal((await list("resourceVersion=abc")).status, 400);
    const future = await list("resourceVersion=100000000");
    assert.deepEqual([future.status, future.json.reason], [504, "Timeout"]);
    assert.equal(future.json.details?.causes?.[0]?.reason, "ResourceVersionTooLarge");
  });

  it("prints tables and bare metadata for those who ask", async () => {
    const table = (await list("labelSelector=app%3Dodd", tableAccept)).json;
    assert.equal(table.kind, "Table");
    assert.deepEqual(
      elements(table.columnDefinitions)
        .map(({ name }) => name)
        .slice(0, 5)
        .map(String),
      ["Name", "Ready", "Status", "Restarts", "Age"],
    );
    const [row] = elements(table.rows);
    assert.deepEqual(elements(row?.cells).slice(0, 3).map(String), ["p1", "0/1", "Pending"]);
    assert.equal(row?.object?.kind, "PartialObjectMetadata");
    const whole = (await list("includeObject=Object&limit=1", tableAccept)).json;
    assert.equal(elements(whole.rows)[0]?.object?.kind, "Pod");
    const one = (await test.call("GET", `${pods}/p1`, undefined, tableAccept)).json;
    assert.equal(elements(one.rows).length, 1);
    const partial = {
      Accept:
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    };
    const metadata = (await list("limit=1", partial)).json;
    assert.equal(metadata.kind, "PartialObjectMetadataList");
    assert.equal(elements(metadata.items)[0]?.spec, undefined);
  });

  it("takes the first shape it has, and refuses when it has none", async () => {
    const accepts = async (accept: string) => await list("limit=1", { Accept: accept });
    assert.equal((await accepts("application/vnd.kubernetes.protobuf,application/json")).json.kind, "PodList");
    assert.equal((await accepts("*/*")).json.kind, "PodList");
    assert.equal(
      (await accepts("application/json;as=Gibberish;v=v1;g=meta.k8s.io,application/json")).json.kind,
      "PodList",
    );
    const none = await accepts("application/vnd.kubernetes.protobuf");
    assert.deepEqual([none.status, none.json.reason], [406, "NotAcceptable"]);
    const review = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      spec: { resourceAttributes: { verb: "get" } },
    };
    const asTable = { Accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
    assert.equal(
      (await test.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, asTable)).status,
      406,
    );
  });
});
