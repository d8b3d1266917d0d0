import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerState } from "@isopod/guest";
import { ContainerSlot } from "./container-slot.ts";
import type { SavedContainer } from "./instance-record.ts";
import { takeUp } from "./take-up-clone.ts";
import { containerWith } from "./testing/pods.ts";

const now = 1_000_000;
const exit = { exitCode: 3, signal: 0, reason: "Error", message: "", startedMicros: 5, finishedMicros: 9 };
const saved: SavedContainer = {
  name: "main",
  restartCount: 2,
  imageDigest: "sha256:1",
  current: { id: "c0-2", vm: 4, startedMicros: 5 },
  outputFrom: 100,
};
const state = (id: string, outputBytes: number): ContainerState => ({
  id,
  phase: "running",
  startedMicros: 5,
  outputBytes,
});

function slotWith(fields: Partial<SavedContainer>, states: readonly ContainerState[], lost = false): ContainerSlot {
  const slot = new ContainerSlot(containerWith(), 0, false);
  slot.waitForStart();
  if (lost) slot.restore({ ...saved, restartCount: 5, current: { id: "c0-5", vm: 1, startedMicros: 1, exit } });
  takeUp(slot, { ...saved, ...fields }, states, 1, now);
  return slot;
}

test("a container that ran runs on from now, with the original's restarts and none of its output", () => {
  const slot = slotWith({}, [state("c0-2", 150)]);
  assert.deepEqual(slot.current, { id: "c0-2", vm: 1, startedMicros: now, outputFrom: 100 });
  assert.deepEqual([slot.restartCount, slot.waiting, slot.imageDigest], [2, undefined, "sha256:1"]);
});

test("what is shared of a noisy container's output is bounded", () => {
  assert.equal(slotWith({}, [state("c0-2", 10_000_000)]).current?.outputFrom, 10_000_000 - 64 * 1024);
});

test("one that was restarted while its machine was saved is the later attempt", () => {
  const slot = slotWith({}, [state("c0-3", 10)]);
  assert.deepEqual(slot.current, { id: "c0-3", vm: 1, startedMicros: now, outputFrom: 0 });
  assert.equal(slot.restartCount, 3);
});

test("one that had ended has ended, in this machine too", () => {
  const ended = { id: "c0-2", vm: 4, startedMicros: 5, exit };
  const slot = slotWith({ current: ended }, [state("c0-2", 10)]);
  assert.deepEqual(slot.current, { ...ended, vm: 1 });
});

test("a clone that lost its machine counts a restart, and its log is another", () => {
  const slot = slotWith({}, [state("c0-2", 150)], true);
  assert.equal(slot.restartCount, 6);
  assert.equal(slot.current?.id, "c0-2");
  assert.equal(slot.previous?.id, "c0-5");
});
