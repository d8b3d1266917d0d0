import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@isopod/api";
import { type Clock, silentLogger, systemClock } from "@isopod/base";
import { waitUntil } from "@isopod/client/testing";
import type { InstanceRecord } from "./instance-record.ts";
import { PodWorkers, type Worker } from "./pod-workers.ts";
import { podWith } from "./testing/pods.ts";

/** Runs until it is let go or told to fail. */
class TestWorker implements Worker {
  pod: Pod;
  isGone = false;
  isRunning = false;
  readonly #end = Promise.withResolvers<void>();

  constructor(pod: Pod) {
    this.pod = pod;
  }

  async run(): Promise<void> {
    this.isRunning = true;
    try {
      await this.#end.promise;
    } finally {
      this.isRunning = false;
    }
  }

  update(pod: Pod | undefined): void {
    if (pod === undefined) this.isGone = true;
    else this.pod = pod;
  }

  detach(): void {
    this.#end.resolve();
  }

  fail(): void {
    this.#end.reject(new Error("nobody thought of this"));
  }
}

interface TestOptions {
  readonly sleep?: Clock["sleep"];
  readonly read?: () => Promise<InstanceRecord | undefined>;
}

function startWorkers({ sleep = async () => {}, read = async () => undefined }: TestOptions = {}) {
  const made: TestWorker[] = [];
  const workers = new PodWorkers({
    client: { get: async () => assert.fail("no pod was missed") },
    clock: { ...systemClock, sleep },
    logger: silentLogger,
    records: { read },
    earlier: [],
    make: (pod) => {
      const worker = new TestWorker(pod);
      made.push(worker);
      return worker;
    },
  });
  return { workers, made, running: () => made.filter((one) => one.isRunning) };
}

test("a worker that failed is replaced by one that knows what was told meanwhile", async () => {
  const reading = Promise.withResolvers<undefined>();
  const { workers, made } = startWorkers({ read: async () => await reading.promise });
  workers.onChange(podWith(), undefined);
  made[0]?.fail();
  await waitUntil("it has ended", () => made[0]?.isRunning === false);
  const newer = podWith({}, { labels: { is: "newer" } });
  workers.onChange(newer, podWith());
  reading.resolve(undefined);
  await waitUntil("another runs", () => made[1]?.isRunning);
  assert.deepEqual(made[1]?.pod, newer);
  await workers.close();
  assert.deepEqual(workers.all(), []);
});

test("a record that cannot be read is read again", async () => {
  let failures = 3;
  const { workers, made } = startWorkers({
    read: async () => {
      if (failures-- > 0) throw new Error("too many open files");
      return undefined;
    },
  });
  workers.onChange(podWith(), undefined);
  made[0]?.fail();
  await waitUntil("another runs", () => made[1]?.isRunning);
  assert.equal(failures, -1);
  await workers.close();
});

test("no worker begins when all are let go, also not for one that waits to be replaced", async () => {
  const isWaiting = Promise.withResolvers<void>();
  const { workers, made, running } = startWorkers({
    sleep: async (_durationMs, signal) => {
      isWaiting.resolve();
      await systemClock.sleep(600_000, signal);
    },
  });
  workers.onChange(podWith(), undefined);
  made[0]?.fail();
  await isWaiting.promise;
  await workers.close();
  assert.deepEqual([made.length, running()], [1, []]);
});

test("a worker whose record is read while all are let go is not replaced", async () => {
  const [isReading, reading] = [Promise.withResolvers<void>(), Promise.withResolvers<undefined>()];
  const { workers, made, running } = startWorkers({
    read: async () => {
      isReading.resolve();
      return await reading.promise;
    },
  });
  workers.onChange(podWith(), undefined);
  made[0]?.fail();
  await isReading.promise;
  const closed = workers.close();
  reading.resolve(undefined);
  await closed;
  assert.deepEqual(running(), []);
});

test("a pod that is seen while all are let go gets no worker", async () => {
  const { workers, made } = startWorkers();
  workers.onChange(podWith(), undefined);
  const closed = workers.close();
  workers.onChange(podWith({}, { uid: "99999999-2222-4333-8444-555555555555" }), undefined);
  await closed;
  assert.deepEqual([made.length, workers.all()], [1, []]);
});
