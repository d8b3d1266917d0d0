import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { type HostLoad, pressures, readHostLoad } from "./host-pressure.ts";

const easy: HostLoad = {
  availableMemoryMiB: 4096,
  availableDiskBytes: 50 * 1024 ** 3,
  totalDiskBytes: 100 * 1024 ** 3,
  tasks: 300,
  maxTasks: 32_768,
};

const under = (load: HostLoad): string[] => pressures(load).flatMap((one) => (one.isUnder ? [one.type] : []));

test("a host with room is under no pressure", () => {
  assert.deepEqual(under(easy), []);
});

test("each shortage raises its own condition, with the numbers", () => {
  assert.deepEqual(under({ ...easy, availableMemoryMiB: 99 }), ["MemoryPressure"]);
  assert.deepEqual(under({ ...easy, availableDiskBytes: 4 * 1024 ** 3 }), ["DiskPressure"]);
  assert.deepEqual(under({ ...easy, tasks: 30_000 }), ["PIDPressure"]);
  const disk = pressures({ ...easy, availableDiskBytes: 4 * 1024 ** 3 }).find((one) => one.type === "DiskPressure");
  assert.match(disk?.message ?? "", /4\.0 GiB of 100\.0 GiB/);
});

test("the real host's state can be read", async () => {
  const load = await readHostLoad(tmpdir());
  for (const [name, value] of Object.entries(load)) assert.ok(Number.isFinite(value) && value > 0, `${name} ${value}`);
});
