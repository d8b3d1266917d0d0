import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type Clock, silentLogger, systemClock } from "@isopod/base";
import { WorkQueue } from "./work-queue.ts";

/** Time moves only by `advance`. */
class ManualClock implements Clock {
  #now = 0;
  readonly delays: number[] = [];
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();

  nowMs(): number {
    return this.#now;
  }
  nowMicros(): bigint {
    return BigInt(this.#now) * 1000n;
  }
  monotonicMs(): number {
    return this.#now;
  }
  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.delays.push(durationMs);
    await new Promise<void>((resolve, reject) => {
      const sleeper = { atMs: this.#now + durationMs, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
      });
    });
  }
  get sleeping(): number {
    return this.#sleepers.size;
  }
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.atMs > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let count = 0; count < 5; count++) await turn();
}

function started(reconcile: (key: string, signal: AbortSignal) => Promise<void>, concurrency = 16) {
  const clock = new ManualClock();
  const queue = new WorkQueue({ name: "test", clock, logger: silentLogger, concurrency });
  const stop = new AbortController();
  const running = queue.run(reconcile, stop.signal);
  return {
    clock,
    queue,
    end: async () => {
      stop.abort();
      await running;
    },
    stop,
    running,
  };
}

test("a key added many times before work begins is worked on once", async () => {
  const seen: string[] = [];
  const queue = new WorkQueue({ name: "test", clock: systemClock, logger: silentLogger });
  for (let count = 0; count < 10; count++) queue.add("a");
  const stop = new AbortController();
  const running = queue.run(async (key) => {
    seen.push(key);
  }, stop.signal);
  await settle();
  stop.abort();
  await running;
  assert.deepEqual(seen, ["a"]);
});

test("a key is never worked on twice at the same time, and once more when it was added meanwhile", async () => {
  let active = 0;
  let most = 0;
  const gates: (() => void)[] = [];
  const { queue, end } = started(async () => {
    active += 1;
    most = Math.max(most, active);
    await new Promise<void>((resolve) => gates.push(resolve));
    active -= 1;
  });
  queue.add("a");
  await settle();
  queue.add("a");
  queue.add("a");
  await settle();
  assert.equal(gates.length, 1);
  gates[0]?.();
  await settle();
  assert.equal(gates.length, 2);
  gates[1]?.();
  await settle();
  assert.equal(gates.length, 2);
  assert.equal(most, 1);
  await end();
});

test("no more keys are worked on at once than the concurrency allows, and the others follow", async () => {
  const gates: (() => void)[] = [];
  const { queue, end } = started(async () => await new Promise<void>((resolve) => gates.push(resolve)), 2);
  for (const key of ["a", "b", "c", "d"]) queue.add(key);
  await settle();
  assert.equal(gates.length, 2);
  for (const open of gates.splice(0)) open();
  await settle();
  assert.equal(gates.length, 2);
  for (const open of gates.splice(0)) open();
  await end();
});

test("a failing key comes again with doubled delays, and from the shortest after a success", async () => {
  let failuresLeft = 4;
  const { queue, clock, end } = started(async () => {
    if (failuresLeft-- > 0) throw new Error("not yet");
  });
  queue.add("a");
  await settle();
  for (const delayMs of [10, 20, 40, 80]) await clock.advance(delayMs);
  assert.deepEqual(clock.delays, [10, 20, 40, 80]);
  failuresLeft = 1;
  queue.add("a");
  await settle();
  assert.equal(clock.delays.at(-1), 10);
  await end();
});

test("a key whose call timed out by a signal of its own comes again too", async () => {
  let calls = 0;
  const { queue, clock, end } = started(async () => {
    calls += 1;
    if (calls === 1) throw new DOMException("too slow", "TimeoutError");
  });
  queue.add("a");
  await settle();
  await clock.advance(10);
  assert.equal(calls, 2);
  await end();
});

test("of several delays of one key the one that ends first counts, and adding it ends them all", async () => {
  let calls = 0;
  const { queue, clock, end } = started(async () => {
    calls += 1;
  });
  queue.addAfter("a", 5000);
  queue.addAfter("a", 100);
  queue.addAfter("a", 3000);
  await clock.advance(100);
  assert.equal(calls, 1);
  await clock.advance(5000);
  assert.equal(calls, 1);
  queue.addAfter("a", 100);
  queue.add("a");
  await settle();
  await clock.advance(100);
  assert.equal(calls, 2);
  await end();
});

test("stopping waits for the keys in work, starts no other, and leaves no timer behind", async () => {
  const gates: (() => void)[] = [];
  const seen: string[] = [];
  const { queue, clock, stop, running } = started(async (key) => {
    seen.push(key);
    await new Promise<void>((resolve) => gates.push(resolve));
    queue.addAfter(key, 1000);
  }, 1);
  queue.add("a");
  queue.add("b");
  queue.addAfter("c", 1000);
  await settle();
  stop.abort();
  let isDone = false;
  void running.then(() => {
    isDone = true;
  });
  await settle();
  assert.equal(isDone, false);
  gates[0]?.();
  await running;
  assert.deepEqual(seen, ["a"]);
  assert.equal(clock.sleeping, 0);
});
