import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { type InstanceRecord, InstanceRecords, recordVersion, UserIds } from "./instance-record.ts";

const record: InstanceRecord = {
  version: recordVersion,
  podUID: "uid-1",
  namespace: "shop",
  name: "web",
  userId: 2_000_001,
  vmCount: 1,
  containers: [
    { name: "main", restartCount: 2, imageDigest: "sha256:1", current: { id: "c0-2", vm: 1, startedMicros: 5 } },
  ],
  segments: [
    {
      name: "uid-1-0",
      cpuMilli: 250,
      memoryMiB: 512,
      podLabels: {},
      state: "Running",
      startMicros: 5,
      isWritten: true,
    },
  ],
  stages: { seen: 1 },
  isReleased: false,
};

const nothingRuns = async (): Promise<boolean> => true;

test("records come back as they were saved, synced or not, and are gone when removed", async () => {
  await using directory = await temporaryDirectory();
  const records = new InstanceRecords(join(directory.path, "instances"));
  assert.deepEqual(await records.load(nothingRuns), []);
  await records.save(record, { isDurable: true });
  await records.save({ ...record, vmCount: 2 }, { isDurable: false });
  assert.deepEqual(await new InstanceRecords(records.directory).load(nothingRuns), [{ ...record, vmCount: 2 }]);
  await records.remove(record.podUID);
  await records.remove(record.podUID);
  assert.deepEqual(await readdir(records.directory), []);
});

test("a directory whose record was never written, or cannot be read, is cleared away", async () => {
  await using directory = await temporaryDirectory();
  const records = new InstanceRecords(directory.path);
  await mkdir(join(directory.path, "uid-2", "logs"), { recursive: true });
  await writeFile(join(directory.path, "uid-2", "record.json.new"), "{");
  // What a power loss may leave of a file that was not synced.
  await mkdir(join(directory.path, "uid-3"));
  await writeFile(join(directory.path, "uid-3", "record.json"), "");
  await writeFile(join(directory.path, "heartbeat"), "");
  await records.save(record, { isDurable: false });
  const cleared: string[] = [];
  const loaded = await records.load(async (path) => {
    cleared.push(basename(path));
    return true;
  });
  assert.deepEqual(
    loaded.map((one) => one.podUID),
    ["uid-1"],
  );
  assert.deepEqual(cleared.toSorted(), ["uid-2", "uid-3"]);
  assert.deepEqual((await readdir(directory.path)).toSorted(), ["heartbeat", "uid-1"]);
});

test("a directory that cannot be cleared away now stays for the next start", async () => {
  await using directory = await temporaryDirectory();
  const records = new InstanceRecords(directory.path);
  await mkdir(join(directory.path, "uid-2"));
  assert.deepEqual(await records.load(async () => false), []);
  assert.deepEqual(await readdir(directory.path), ["uid-2"]);
});

test("a record of before there were pauses is read on: all it billed was running", async () => {
  await using directory = await temporaryDirectory();
  const records = new InstanceRecords(directory.path);
  await mkdir(join(directory.path, "uid-1"));
  const segments = record.segments.map(({ state: _state, ...before }) => before);
  await writeFile(join(directory.path, "uid-1", "record.json"), JSON.stringify({ ...record, version: 2, segments }));
  assert.deepEqual(await records.load(nothingRuns), [record]);
});

test("a record of another version is refused, and nothing of its instance is touched", async () => {
  await using directory = await temporaryDirectory();
  const records = new InstanceRecords(directory.path);
  await mkdir(join(directory.path, "uid-1"));
  await writeFile(join(directory.path, "uid-1", "record.json"), JSON.stringify({ ...record, version: 999 }));
  await assert.rejects(records.load(nothingRuns), /record of instance uid-1 was written by another version/);
  assert.deepEqual(await readdir(join(directory.path, "uid-1")), ["record.json"]);
});

test("user ids are given once, rest as long as possible, and run out", () => {
  const ids = new UserIds(100, 3);
  ids.take(101);
  assert.equal(ids.allocate(), 100);
  assert.equal(ids.allocate(), 102);
  assert.equal(ids.allocate(), undefined);
  ids.release(100);
  ids.release(101);
  // In turn: after 102 comes 100.
  assert.equal(ids.allocate(), 100);
  assert.equal(ids.allocate(), 101);
  assert.equal(ids.allocate(), undefined);
});
