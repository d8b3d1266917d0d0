import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { untilAborted } from "./index.ts";

test("work is waited for until the signal is aborted, before or meanwhile, and leaves no listener", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  assert.equal(await untilAborted(Promise.resolve("done"), signal), "done");
  await assert.rejects(untilAborted(Promise.reject(new Error("failed")), signal), { message: "failed" });
  assert.equal(getEventListeners(signal, "abort").length, 0);
  const endless = untilAborted(new Promise(() => {}), signal);
  controller.abort(new Error("given up"));
  await assert.rejects(endless, { message: "given up" });
  assert.equal(getEventListeners(signal, "abort").length, 0);
  await assert.rejects(untilAborted(Promise.resolve("done"), signal), { message: "given up" });
  await assert.rejects(untilAborted(Promise.reject(new Error("failed")), signal), { message: "given up" });
  assert.equal(await untilAborted(Promise.resolve("done"), undefined), "done");
});
