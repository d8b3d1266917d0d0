import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type Clock, silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { keepHeartbeat, lastHeartbeat } from "./heartbeat.ts";

test("the last beat is when the clock said so, and none is told before the first", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "heartbeat");
  assert.equal(await lastHeartbeat(path), undefined);
  let nowMs = Date.parse("2026-01-02T03:04:05Z");
  const stop = new AbortController();
  let beats = 0;
  const clock: Clock = {
    ...systemClock,
    nowMs: () => nowMs,
    sleep: async (durationMs) => {
      nowMs += durationMs;
      beats += 1;
      if (beats === 3) stop.abort();
    },
  };
  await keepHeartbeat(path, clock, silentLogger, stop.signal);
  assert.equal(await lastHeartbeat(path), (Date.parse("2026-01-02T03:04:05Z") + 10_000) * 1000);
});

test("a beat that cannot be written is logged once, and does not end the beating", async () => {
  const stop = new AbortController();
  let beats = 0;
  const warnings: string[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: async () => {
      beats += 1;
      if (beats === 3) stop.abort();
    },
  };
  const logger = { ...silentLogger, warn: (_fields: object, message: string) => void warnings.push(message) };
  await keepHeartbeat("/nonexistent/heartbeat", clock, logger, stop.signal);
  assert.equal(beats, 3);
  assert.equal(warnings.length, 1);
});
