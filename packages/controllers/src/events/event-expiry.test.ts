import assert from "node:assert/strict";
import { test } from "node:test";
import { type Event, resources } from "@isopod/api";
import { ManualClock } from "../testing/manual-clock.ts";
import { running } from "../testing/running.ts";
import { startTestApi } from "../testing/test-api.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { EventExpiry } from "./event-expiry.ts";

test("events go an hour after they last happened, whichever field tells of it", async () => {
  await using api = await startTestApi();
  const clock = new ManualClock();
  const ago = (minutes: number): string => `${new Date(clock.nowMs() - minutes * 60_000).toISOString().slice(0, 19)}Z`;
  const micro = (minutes: number): string => ago(minutes).replace("Z", ".000000Z");
  const add = async (name: string, times: Partial<Event>): Promise<void> => {
    await api.client.create(resources.events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace: "default" },
      involvedObject: { kind: "Pod", namespace: "default", name: "p" },
      reason: "Tested",
      type: "Normal",
      reportingComponent: "test",
      reportingInstance: "test",
      action: "Test",
      ...times,
    });
  };
  await add("old", { firstTimestamp: ago(300), lastTimestamp: ago(90) });
  await add("old-new-style", { eventTime: micro(90) });
  await add("again", { firstTimestamp: ago(300), lastTimestamp: ago(30) });
  await add("series", { eventTime: micro(300), series: { count: 2, lastObservedTime: micro(30) } });
  await add("untimed", {});
  await using _controller = running(api, (options) => new EventExpiry(options), { clock });
  const names = async (): Promise<readonly string[]> =>
    (await api.client.list(resources.events)).items.map((one) => one.metadata.name).toSorted();
  const minute = async (): Promise<void> => {
    await waitUntil("the controller sleeps", () => clock.sleeping === 1);
    clock.advance(60_000);
    await waitUntil("the controller has swept", () => clock.sleeping === 1);
  };
  await minute();
  assert.deepEqual(await names(), ["again", "series", "untimed"]);
  clock.advance(3_600_000);
  await minute();
  assert.deepEqual(await names(), []);
});
