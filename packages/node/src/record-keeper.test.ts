import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Clock, silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { type InstanceRecord, InstanceRecords, recordVersion } from "./instance-record.ts";
import { RecordKeeper } from "./record-keeper.ts";

const record: InstanceRecord = {
  version: recordVersion,
  podUID: "uid-1",
  namespace: "shop",
  name: "web",
  userId: 0,
  vmCount: 0,
  containers: [],
  segments: [],
  stages: {},
  isReleased: false,
};

function keeperIn(directory: string, clock: Clock = systemClock) {
  const records = new InstanceRecords(directory);
  return { records, keeper: new RecordKeeper(record, { records, clock, logger: silentLogger }) };
}

test("what was changed before a save is on disk after it, however many saves there are", async () => {
  await using directory = await temporaryDirectory();
  const { records, keeper } = keeperIn(directory.path);
  const saves: Promise<void>[] = [];
  for (let vmCount = 1; vmCount <= 20; vmCount++) {
    keeper.change({ vmCount });
    saves.push(keeper.save());
  }
  await Promise.all(saves);
  assert.equal((await records.read("uid-1"))?.vmCount, 20);
});

test("a save that must not fail the pod goes on trying until the disk takes it", async () => {
  await using directory = await temporaryDirectory();
  // A file where the record's directory is to be: saving fails until it is out of the way.
  await writeFile(join(directory.path, "uid-1"), "");
  const repaired = Promise.withResolvers<void>();
  const clock: Clock = {
    ...systemClock,
    sleep: async () => {
      await rm(join(directory.path, "uid-1"), { force: true, recursive: true });
      await mkdir(join(directory.path, "uid-1"));
      repaired.resolve();
    },
  };
  const { records, keeper } = keeperIn(directory.path, clock);
  keeper.change({ vmCount: 7 });
  await assert.rejects(keeper.save());
  keeper.saveSoon();
  await repaired.promise;
  // Comes behind the repeated save.
  await keeper.save();
  assert.equal((await records.read("uid-1"))?.vmCount, 7);
});

test("a closed keeper writes no more, so that a removed record stays removed", async () => {
  await using directory = await temporaryDirectory();
  const { records, keeper } = keeperIn(directory.path);
  keeper.saveSoon();
  await keeper.close();
  await records.remove("uid-1");
  keeper.saveSoon();
  await keeper.save();
  await keeper.close();
  assert.equal(await records.read("uid-1"), undefined);
});
