import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { resources } from "@isopod/api";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import type { Ledger } from "./ledger/contract.ts";
import { openSqliteLedger } from "./ledger/sqlite/sqlite-ledger.ts";
import { Meter } from "./meter.ts";
import { addPod, closeSegment, deletePod, openSegment, renewLease } from "./testing/pods.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";

interface Metered extends AsyncDisposable {
  readonly api: TestApi;
  readonly ledger: Ledger;
  readonly ledgerPath: string;
}

async function metered(): Promise<Metered> {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory("isopod-meter-"));
  const ledgerPath = join(directory.path, "ledger.db");
  const ledger = stack.use(openSqliteLedger(ledgerPath));
  const api = stack.use(await startTestApi());
  return { api, ledger, ledgerPath, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

function metering({ api, ledger }: Pick<Metered, "api" | "ledger">): AsyncDisposable & { readonly meter: Meter } {
  const stop = new AbortController();
  const meter = new Meter({ client: api.client, ledger, clock: systemClock, logger: silentLogger });
  const running = meter.run(stop.signal);
  return {
    meter,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the test ends"));
      await running;
    },
  };
}

const podExists = async (api: TestApi, name: string): Promise<boolean> =>
  await api.client.get(resources.pods, "default", name).then(
    () => true,
    () => false,
  );

const segmentExists = async (api: TestApi, name: string): Promise<boolean> =>
  await api.client.get(resources.usagesegments, "default", name).then(
    () => true,
    () => false,
  );

const isRecorded = async (api: TestApi, name: string): Promise<boolean> =>
  (await api.client.get(resources.usagesegments, "default", name)).status?.recorded === true;

const nowMicros = (): number => Number(systemClock.nowMicros());

test("a closed segment is in the ledger once, and its object stays as long as the pod", async () => {
  await using test = await metered();
  const { api, ledger } = test;
  await using _meter = metering(test);
  const pod = await addPod(api, "p", "n1");
  const start = nowMicros();
  const name = await openSegment(api, pod, start);
  await closeSegment(api, name, start + 5_000_000);
  await waitUntil("it is recorded", async () => await isRecorded(api, name));
  const [found, ...others] = await ledger.list();
  assert.deepEqual(others, []);
  assert.deepEqual(found, {
    segment: name,
    namespace: "default",
    podName: "p",
    podUID: pod.metadata.uid,
    nodeName: "n1",
    cpuMilli: 250,
    memoryMiB: 512,
    state: "Running",
    startMicros: BigInt(start),
    endMicros: BigInt(start + 5_000_000),
    endCause: "Completed",
    labels: { app: "p" },
  });
  assert.ok(await segmentExists(api, name));
  await deletePod(api, "p", 0);
  await waitUntil("pod and segment object are gone", async () => {
    return !(await podExists(api, "p")) && !(await segmentExists(api, name));
  });
  assert.equal((await ledger.list()).length, 1);
});

test("a deleted pod is held until the last of its segments is in the ledger", async () => {
  await using test = await metered();
  const { api, ledger } = test;
  await renewLease(api, "n1", Date.now() + 3_600_000);
  await using _meter = metering(test);
  const pod = await addPod(api, "p", "n1");
  const start = nowMicros();
  const first = await openSegment(api, pod, start, 0);
  await closeSegment(api, first, start + 1);
  const second = await openSegment(api, pod, start + 1, 1);
  await deletePod(api, "p", 0);
  await waitUntil("the first is recorded", async () => await isRecorded(api, first));
  await delay(100);
  assert.ok(await podExists(api, "p"));
  await closeSegment(api, second, start + 2);
  await waitUntil("the pod is gone", async () => !(await podExists(api, "p")));
  assert.deepEqual(
    (await ledger.list()).map((one) => one.segment),
    [first, second],
  );
});

test("a pod in its grace is not let go, and one that never had a node goes at once", async () => {
  await using test = await metered();
  const { api } = test;
  await using _meter = metering(test);
  await addPod(api, "stopping", "n1");
  await addPod(api, "unscheduled");
  await deletePod(api, "stopping", 30);
  await deletePod(api, "unscheduled", 30);
  await waitUntil("the unscheduled one is gone", async () => !(await podExists(api, "unscheduled")));
  assert.ok(await podExists(api, "stopping"));
  await deletePod(api, "stopping", 0);
  await waitUntil("the other is gone", async () => !(await podExists(api, "stopping")));
});

test("what ended while the meter was down is recorded when it is back, and nothing before", async () => {
  await using test = await metered();
  const { api, ledger } = test;
  const pods = [];
  const start = nowMicros();
  for (const name of ["a", "b", "c"]) {
    const pod = await addPod(api, name, "n1");
    pods.push(pod);
    await closeSegment(api, await openSegment(api, pod, start), start + 1_000_000);
    await deletePod(api, name, 0);
  }
  for (const name of ["a", "b", "c"]) assert.ok(await podExists(api, name));
  await using _meter = metering(test);
  for (const name of ["a", "b", "c"]) await waitUntil(`${name} is gone`, async () => !(await podExists(api, name)));
  assert.deepEqual((await ledger.list()).map((one) => one.podName).toSorted(), ["a", "b", "c"]);
  await waitUntil("no segment object is left", async () => {
    return (await api.client.list(resources.usagesegments)).items.length === 0;
  });
});

test("a host that vanished closes the segments of leaving and of gone pods at its last heartbeat", async () => {
  await using test = await metered();
  const { api, ledger } = test;
  const heartbeatMs = Date.now() - 120_000;
  await renewLease(api, "n1", heartbeatMs);
  const start = (heartbeatMs - 60_000) * 1000;
  const [leaving, gone, running] = [
    await addPod(api, "leaving", "n1"),
    await addPod(api, "gone", "n1"),
    await addPod(api, "running", "n1"),
  ];
  await openSegment(api, leaving, start);
  await openSegment(api, gone, start);
  const open = await openSegment(api, running, start);
  // Begun after the last heartbeat that anybody saw: no time is proven.
  await openSegment(api, leaving, (heartbeatMs + 1000) * 1000, 1);
  await deletePod(api, "gone", 0);
  await api.client.patch(resources.pods, "default", "gone", { metadata: { finalizers: null } });
  await deletePod(api, "leaving", 0);
  await using _meter = metering(test);
  await waitUntil("the leaving pod is gone", async () => !(await podExists(api, "leaving")));
  const entries = await waitUntil("three are recorded", async () => {
    const found = await ledger.list();
    return found.length === 3 && found;
  });
  assert.deepEqual(
    entries.map((one) => [one.endCause, one.endMicros]),
    [
      ["NodeLost", BigInt(heartbeatMs) * 1000n],
      ["NodeLost", BigInt(heartbeatMs) * 1000n],
      ["NodeLost", BigInt(heartbeatMs + 1000) * 1000n],
    ],
  );
  // A pod nobody has given up may still run: its agent will say.
  assert.equal((await api.client.get(resources.usagesegments, "default", open)).spec.endMicros, undefined);
});

test("a meter killed between the ledger and the object's status records nothing twice", async () => {
  await using test = await metered();
  const { api, ledger, ledgerPath } = test;
  const start = nowMicros();
  const pod = await addPod(api, "p", "n1");
  const name = await openSegment(api, pod, start);
  await closeSegment(api, name, start + 1_000_000);
  // A meter of its own process that stops dead where the ledger has the entry and the API does not know.
  const script = `
    import { KubeClient } from "@isopod/client";
    import { silentLogger, systemClock } from "@isopod/base";
    import { openSqliteLedger } from ${JSON.stringify(join(import.meta.dirname, "ledger/sqlite/sqlite-ledger.ts"))};
    import { Meter } from ${JSON.stringify(join(import.meta.dirname, "meter.ts"))};
    const ledger = openSqliteLedger(process.argv[1]);
    const client = new KubeClient(JSON.parse(process.argv[2]));
    const append = ledger.append;
    ledger.append = async (entry) => {
      await append(entry);
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => {});
    };
    await new Meter({ client, ledger, clock: systemClock, logger: silentLogger }).run(new AbortController().signal);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, ledgerPath, JSON.stringify(api.config)], {
    stdio: "inherit",
    cwd: import.meta.dirname,
  });
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGKILL");
  assert.equal((await ledger.list()).length, 1);
  assert.equal(await isRecorded(api, name), false);
  await using _meter = metering(test);
  await waitUntil("it is recorded", async () => await isRecorded(api, name));
  await deletePod(api, "p", 0);
  await waitUntil("the pod is gone", async () => !(await podExists(api, "p")));
  assert.equal((await ledger.list()).length, 1);
});

test("a ledger that fails for a while loses nothing and lets nobody go meanwhile", async () => {
  await using test = await metered();
  const { api, ledger } = test;
  let failuresLeft = 5;
  const failing: Ledger = {
    ...ledger,
    append: async (entry) => {
      if (failuresLeft-- > 0) throw new Error("no space left");
      await ledger.append(entry);
    },
  };
  await using _meter = metering({ api, ledger: failing });
  const pod = await addPod(api, "p", "n1");
  const start = nowMicros();
  await closeSegment(api, await openSegment(api, pod, start), start + 1);
  await deletePod(api, "p", 0);
  await waitUntil("the pod is gone", async () => !(await podExists(api, "p")));
  assert.equal((await ledger.list()).length, 1);
});
