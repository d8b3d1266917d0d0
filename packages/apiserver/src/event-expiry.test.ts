import assert from "node:assert/strict";
import { it } from "node:test";
import { systemClock } from "@isopod/base";
import { expireEvents } from "./event-expiry.ts";
import { ObjectStore } from "./objects/object-store.ts";
import { names, startTestServer } from "./testing/test-server.ts";

it("events go an hour after they were last seen, whenever they began", async () => {
  await using test = await startTestServer();
  const path = "/api/v1/namespaces/default/events";
  const minutesAgo = (minutes: number) => `${new Date(Date.now() - minutes * 60_000).toISOString().slice(0, 19)}Z`;
  const post = async (name: string, over: object) => {
    const involvedObject = { kind: "Pod", namespace: "default", name: "p" };
    const answer = await test.call("POST", path, {
      kind: "Event",
      apiVersion: "v1",
      metadata: { name },
      involvedObject,
      ...over,
    });
    assert.equal(answer.status, 201, answer.text);
  };
  // They were all created now; on the clock of this pass that is 50 minutes ago.
  await post("new", {});
  await post("old", { firstTimestamp: minutesAgo(300), lastTimestamp: minutesAgo(200) });
  await post("repeated", { firstTimestamp: minutesAgo(300), lastTimestamp: minutesAgo(0) });
  const clock = (minutes: number) => ({ ...systemClock, nowMs: () => Date.now() + minutes * 60_000 });
  const { signal } = new AbortController();
  await expireEvents(new ObjectStore(test.store, clock(50)), signal);
  assert.deepEqual(names((await test.call("GET", path)).json), ["new", "old", "repeated"]);
  await expireEvents(new ObjectStore(test.store, clock(70)), signal);
  assert.deepEqual(names((await test.call("GET", path)).json), []);
});
