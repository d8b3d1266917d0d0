import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedWork } from "./shared-work.ts";

const never = new AbortController().signal;

test("callers of one key share the work, others do not", async () => {
  const work = new SharedWork<number>();
  let starts = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const start = async () => {
    starts++;
    return await promise;
  };
  const callers = [work.run("a", start, never), work.run("a", start, never), work.run("b", start, never)];
  resolve(7);
  assert.deepEqual(await Promise.all(callers), [7, 7, 7]);
  assert.equal(starts, 2);
  await work.run("a", start, never);
  assert.equal(starts, 3);
});

test("work is aborted when the last caller has given up, not before", async () => {
  const work = new SharedWork<number>();
  let seen: AbortSignal | undefined;
  const start = async (signal: AbortSignal) => {
    seen = signal;
    return await new Promise<number>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const callers = [work.run("a", start, first.signal), work.run("a", start, second.signal)];
  first.abort();
  await assert.rejects(callers[0] ?? assert.fail(), { name: "AbortError" });
  assert.equal(seen?.aborted, false);
  second.abort();
  await assert.rejects(callers[1] ?? assert.fail(), { name: "AbortError" });
  assert.equal(seen?.aborted, true);
});

test("who joined work that failed starts it once more", async () => {
  const work = new SharedWork<number>();
  const { promise, reject } = Promise.withResolvers<number>();
  const first = work.run("a", async () => await promise, never);
  const second = work.run("a", async () => 2, never);
  reject(new Error("the credentials of the first are wrong"));
  await assert.rejects(first, /credentials/);
  assert.equal(await second, 2);
});
