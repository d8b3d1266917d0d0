import assert from "node:assert/strict";
import { test } from "node:test";
import { settleAll, systemClock, together } from "./index.ts";

const never = 600_000;

test("what is begun together is had together", async () => {
  const { signal } = new AbortController();
  assert.deepEqual(await together(signal, () => [Promise.resolve(1), "two"]), [1, "two"]);
});

test("when one fails the others are told, and are over by then", async () => {
  const { signal } = new AbortController();
  const slow = Promise.withResolvers<void>();
  let isOver = false;
  const failing = together(signal, (until) => [
    Promise.reject(new Error("no such image")),
    systemClock.sleep(never, until).catch(async () => {
      setImmediate(slow.resolve);
      await slow.promise;
      isOver = true;
    }),
  ]);
  await assert.rejects(failing, /no such image/);
  assert.ok(isOver);
});

test("all are told when nobody wants them any more", async () => {
  const unwanted = new AbortController();
  const waiting = together(unwanted.signal, (until) => [systemClock.sleep(never, until)]);
  unwanted.abort(new Error("the pod is gone"));
  await assert.rejects(waiting, (error: Error) => error.cause instanceof Error && /gone/.test(error.cause.message));
});

test("all of it is waited for, and the first failure told", async () => {
  assert.deepEqual(await settleAll([Promise.resolve(1), "two"]), [1, "two"]);
  const late = Promise.withResolvers<void>();
  let isOver = false;
  const failing = settleAll([
    late.promise.then(() => {
      isOver = true;
      throw new Error("first");
    }),
    Promise.reject(new Error("second")),
  ]);
  setImmediate(late.resolve);
  await assert.rejects(failing, /first/);
  assert.ok(isOver);
});
