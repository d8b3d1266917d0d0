import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "@isopod/client/testing";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { InstanceRecords, recordVersion, type SegmentRecord } from "./instance-record.ts";
import { RecordKeeper } from "./record-keeper.ts";
import type { PodIdentity, UsageRecorder } from "./usage-recorder.ts";
import { UsageSegments } from "./usage-segments.ts";

/** Segments over a real record; `written` is what the API was told, in order. */
async function segmentsIn(directory: string) {
  const records = new InstanceRecords(directory);
  const record = new RecordKeeper(
    {
      version: recordVersion,
      podUID: "uid-1",
      namespace: "shop",
      name: "web",
      userId: 0,
      vmCount: 1,
      containers: [],
      segments: [],
      stages: {},
      isReleased: false,
    },
    { records, clock: systemClock, logger: silentLogger },
  );
  const written: SegmentRecord[] = [];
  const durable: (number | undefined)[] = [];
  const recorder: Pick<UsageRecorder, "write"> = {
    write: async (_pod: PodIdentity, segment: SegmentRecord) => {
      durable.push((await records.read("uid-1"))?.segments.length);
      written.push(segment);
    },
  };
  const usage = new UsageSegments({
    record,
    recorder,
    logger: silentLogger,
    size: { cpuMilli: 250, memoryMiB: 512 },
    podLabels: () => ({ app: "shop" }),
    detach: new AbortController().signal,
  });
  // A save still under way would make the directory again after it was removed.
  const dispose = async (): Promise<void> => await record.close();
  return { usage, record, written, durable, [Symbol.asyncDispose]: dispose };
}

const summary = (segments: readonly SegmentRecord[]) =>
  segments.map(({ name, startMicros, endMicros, endCause }) => [name, startMicros, endMicros, endCause]);

test("a segment is on disk before the API hears of it, and carries all that a bill needs", async () => {
  await using directory = await temporaryDirectory();
  await using segments = await segmentsIn(directory.path);
  const { usage, written, durable } = segments;
  usage.open(100);
  await usage.flush();
  assert.deepEqual(durable, [1]);
  assert.deepEqual(written, [
    {
      name: "uid-1-0",
      cpuMilli: 250,
      memoryMiB: 512,
      podLabels: { app: "shop" },
      state: "Running",
      startMicros: 100,
      isWritten: false,
    },
  ]);
});

test("one segment spans every container of a VM, and the next VM has its own", async () => {
  await using directory = await temporaryDirectory();
  await using segments = await segmentsIn(directory.path);
  const { usage, record } = segments;
  usage.open(100);
  usage.open(150);
  usage.close(300, "VMLost");
  usage.close(350, "Deleted");
  usage.open(400);
  usage.close(500, "Completed");
  await usage.flush();
  assert.deepEqual(summary(record.value.segments), [
    ["uid-1-0", 100, 300, "VMLost"],
    ["uid-1-1", 400, 500, "Completed"],
  ]);
  assert.ok(record.value.segments.every((one) => one.isWritten));
});

test("a pause and a resume cut the bill without a gap, and only while there is one", async () => {
  await using directory = await temporaryDirectory();
  await using segments = await segmentsIn(directory.path);
  const { usage, record, written } = segments;
  usage.turn("Paused", 50);
  assert.equal(usage.state, undefined);
  usage.open(100);
  usage.turn("Paused", 200);
  usage.turn("Paused", 250);
  usage.open(260);
  assert.equal(usage.state, "Paused");
  // A clock that was set back costs nobody anything.
  usage.turn("Running", 150);
  usage.close(400, "Deleted");
  await usage.flush();
  assert.deepEqual(
    record.value.segments.map(({ state, startMicros, endMicros, endCause }) => [
      state,
      startMicros,
      endMicros,
      endCause,
    ]),
    [
      ["Running", 100, 200, "Paused"],
      ["Paused", 200, 200, "Resumed"],
      ["Running", 200, 400, "Deleted"],
    ],
  );
  assert.deepEqual(new Set(written.map(({ name }) => name)), new Set(["uid-1-0", "uid-1-1", "uid-1-2"]));
});

test("what the API was not told before a crash is told by the next node agent, while it is still open", async () => {
  await using directory = await temporaryDirectory();
  await using before = await segmentsIn(directory.path);
  before.usage.open(100);
  await before.usage.flush();
  before.usage.writeOn();
  assert.equal(before.written.length, 1);
  before.record.change({ segments: before.record.value.segments.map((one) => ({ ...one, isWritten: false })) });
  before.usage.writeOn();
  await waitUntil("it is told", () => before.written.length === 2);
});

test("a VM held through a back-off is billed until it is given up, and no segment ends before it began", async () => {
  await using directory = await temporaryDirectory();
  await using segments = await segmentsIn(directory.path);
  const { usage, record } = segments;
  usage.open(100);
  usage.heldUntil(900);
  usage.close(200, "Deleted");
  usage.open(1000);
  usage.close(50, "VMLost");
  await usage.flush();
  assert.deepEqual(summary(record.value.segments), [
    ["uid-1-0", 100, 900, "Deleted"],
    ["uid-1-1", 1000, 1000, "VMLost"],
  ]);
});
