import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ApiError, isopodApiVersion, type PriceList, resources } from "@isopod/api";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { BillingApi } from "./billing-api.ts";
import { openSqliteLedger } from "./ledger/sqlite/sqlite-ledger.ts";
import { Meter } from "./meter.ts";
import { entry } from "./testing/entries.ts";
import { addPod, openSegment } from "./testing/pods.ts";
import { startTestApi, waitUntil } from "@isopod/client/testing";

const nowMs = Date.parse("2026-01-31T12:00:00Z");
const micros = (time: string): bigint => BigInt(Date.parse(time)) * 1000n;

function priceList(name: string, effectiveFrom: string, over: Partial<PriceList["spec"]> = {}): PriceList {
  return {
    apiVersion: isopodApiVersion,
    kind: "PriceList",
    metadata: { name },
    spec: { currency: "EUR", effectiveFrom, vcpuSecondMicros: 10, gibSecondMicros: 2, ...over },
  };
}

async function billing() {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory("isopod-meter-"));
  const ledger = stack.use(openSqliteLedger(join(directory.path, "ledger.db")));
  const api = stack.use(await startTestApi());
  const { client } = api;
  const meter = new Meter({ client, ledger, clock: systemClock, logger: silentLogger });
  const stop = new AbortController();
  const running = meter.run(stop.signal);
  stack.defer(async () => {
    stop.abort(new Error("the test ends"));
    await running;
  });
  const clock = { ...systemClock, nowMs: () => nowMs, nowMicros: () => BigInt(nowMs) * 1000n };
  const bills = new BillingApi({ client, ledger, meter, clock });
  return { api, ledger, meter, bills, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

const query = (values: Readonly<Record<string, string>>): URLSearchParams => new URLSearchParams(values);

async function refused(call: Promise<unknown>, what: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.status.code, 400);
    assert.match(error.message, what);
    return true;
  });
}

test("a price is told for the size that would be sold, per second, hour and month", async () => {
  await using test = await billing();
  const { api, bills } = test;
  await refused(bills.price(query({ cpu: "1", memory: "1Gi" })), /no price list/);
  await api.client.create(resources.pricelists, priceList("now", "2026-01-01T00:00:00Z"));
  await api.client.create(resources.pricelists, priceList("later", "2026-02-01T00:00:00Z", { currency: "USD" }));
  const price = await bills.price(query({ cpu: "0.3", memory: "700Mi" }));
  // 0.5 vCPU and 1 GiB: 5 + 2 millionths.
  assert.deepEqual(price, {
    kind: "PriceQuote",
    apiVersion: "billing.isopod.dev/v1alpha1",
    requested: { cpuMilli: 300, memoryMiB: 700 },
    size: { cpuMilli: 500, memoryMiB: 1024 },
    isRounded: true,
    currency: "EUR",
    secondMicros: "7",
    hourMicros: String(7 * 3600),
    monthMicros: String(7 * 730 * 3600),
    // The list says nothing of paused time: its memory is held.
    paused: { secondMicros: "2", hourMicros: String(2 * 3600), monthMicros: String(2 * 730 * 3600) },
  });
});

test("a quantity or time that makes no sense is refused with its name", async () => {
  await using test = await billing();
  const { bills } = test;
  const good = { cpu: "1", memory: "1Gi" };
  for (const cpu of ["", "many", "-1", "0", "1e999"]) {
    await refused(bills.price(query({ ...good, cpu })), /^cpu|beyond the largest/);
  }
  for (const memory of ["", "1Zi", "-1Gi", "0"]) await refused(bills.price(query({ ...good, memory })), /^memory/);
  await refused(bills.price(query({ cpu: "1" })), /memory is missing/);
  await refused(bills.price(query({ cpu: "64", memory: "1Gi" })), /beyond the largest/);
  for (const name of ["since", "until"]) {
    for (const text of ["yesterday", "2026", "2026-13-01T00:00:00Z", "2026-01-01"]) {
      await refused(bills.invoice(query({ [name]: text })), new RegExp(`^${name}=`));
    }
  }
  await refused(
    bills.invoice(query({ since: "2026-02-01T00:00:00Z", until: "2026-01-01T00:00:00Z" })),
    /^since=.* is after until=/,
  );
  await refused(bills.invoice(query({ labelSelector: "a in (" })), /./);
});

interface Bill {
  readonly currency: string;
  readonly totalSeconds: string;
  readonly totalMicros: string;
  readonly total: string;
  readonly lines: readonly {
    readonly pod: string;
    readonly state: string;
    readonly isOpen: boolean;
    readonly seconds: string;
    readonly priceMicros: string;
  }[];
}

test("an invoice holds what is closed and what runs, chosen by namespace, labels and time", async () => {
  await using test = await billing();
  const { api, ledger, meter, bills } = test;
  await api.client.create(
    resources.pricelists,
    priceList("now", "2026-01-01T00:00:00Z", { vcpuSecondMicros: 4, gibSecondMicros: 2 }),
  );
  const [start, end] = [micros("2026-01-30T23:59:50Z"), micros("2026-01-31T00:00:10Z")];
  await ledger.append(entry({ segment: "a", podName: "a", startMicros: start, endMicros: end }));
  await ledger.append(
    entry({ segment: "b", podName: "b", namespace: "team", startMicros: start, endMicros: end, labels: {} }),
  );
  const pod = await addPod(api, "open", "n1");
  await openSegment(api, pod, (nowMs - 1500) * 1000);
  await waitUntil("the meter has seen it", () => meter.openSegments().length === 1);

  const invoice = async (values: Readonly<Record<string, string>> = {}): Promise<Bill> =>
    (await bills.invoice(query(values))) as Bill;
  const all = await invoice();
  assert.deepEqual(all.lines.map((line) => [line.pod, line.isOpen, line.seconds]).toSorted(), [
    ["a", false, "20"],
    ["b", false, "20"],
    ["open", true, "2"],
  ]);
  // 0.25 vCPU and 0.5 GiB: 2 millionths a second.
  assert.deepEqual([all.currency, all.totalSeconds, all.totalMicros, all.total], ["EUR", "42", "84", "0.000084"]);
  const pods = async (values: Readonly<Record<string, string>>): Promise<string> =>
    (await invoice(values)).lines
      .map((line) => `${line.pod} ${line.seconds}`)
      .toSorted()
      .join();
  assert.equal(await pods({ namespace: "team" }), "b 20");
  assert.equal(await pods({ labelSelector: "app=web" }), "a 20");
  assert.equal(await pods({ until: "2026-01-31T00:00:00Z", namespace: "default" }), "a 10");
  assert.equal(await pods({ since: "2026-01-31T00:00:00Z", namespace: "default" }), "a 10,open 2");
  assert.equal(await pods({ since: "2026-01-31T01:00:00+01:00", until: "2026-01-31T00:00:05Z" }), "a 5,b 5");
});

test("a period that begins in a pause counts on from where the instance began", async () => {
  await using test = await billing();
  const { api, ledger, meter, bills } = test;
  await api.client.create(
    resources.pricelists,
    priceList("now", "2026-01-01T00:00:00Z", { vcpuSecondMicros: 4, gibSecondMicros: 2 }),
  );
  const pod = await addPod(api, "p", "n1");
  const at = (time: string): bigint => micros(`2026-01-31T11:${time}Z`);
  const stretch = (index: number, state: "Running" | "Paused", from: string, to: string, endCause: string) =>
    entry({
      segment: `${pod.metadata.uid}-${index}`,
      podUID: pod.metadata.uid ?? "",
      podName: "p",
      state,
      endCause,
      startMicros: at(from),
      endMicros: at(to),
    });
  await ledger.append(stretch(0, "Running", "00:00.000", "00:10.400", "Paused"));
  await ledger.append(stretch(1, "Paused", "00:10.400", "20:00.700", "Resumed"));
  await openSegment(api, pod, Number(at("20:00.700")), 2);
  await waitUntil("the meter has seen it", () => meter.openSegments().length === 1);
  const lines = async (values: Readonly<Record<string, string>>) =>
    ((await bills.invoice(query(values))) as Bill).lines.map((line) => [line.state, line.seconds, line.priceMicros]);
  // 0.25 vCPU and 0.5 GiB: 2 millionths a second, 1 while paused. An hour in all, no second twice.
  const all = await lines({});
  assert.deepEqual(all, [
    ["Running", "11", "22"],
    ["Paused", "1190", "1190"],
    ["Running", "2399", "4798"],
  ]);
  assert.equal(
    all.reduce((sum, [, seconds]) => sum + Number(seconds), 0),
    3600,
  );
  const middle = "2026-01-31T11:10:00Z";
  assert.deepEqual(await lines({ until: middle }), [
    ["Running", "11", "22"],
    ["Paused", "589", "589"],
  ]);
  assert.deepEqual(await lines({ since: middle }), [
    ["Paused", "601", "601"],
    ["Running", "2399", "4798"],
  ]);
  // Only the open segment touches this period; counted from its own start, one second more would begin in it.
  assert.deepEqual(await lines({ since: "2026-01-31T11:30:00.500Z" }), [["Running", "1799", "3598"]]);
});

test("a period under price lists of two currencies is refused, each part of it is not", async () => {
  await using test = await billing();
  const { api, ledger, bills } = test;
  await api.client.create(resources.pricelists, priceList("a", "2026-01-01T00:00:00Z"));
  await api.client.create(resources.pricelists, priceList("b", "2026-01-15T00:00:00Z", { currency: "USD" }));
  await ledger.append(
    entry({ startMicros: micros("2026-01-14T23:00:00Z"), endMicros: micros("2026-01-15T01:00:00Z") }),
  );
  await refused(bills.invoice(query({})), /EUR and USD/);
  assert.equal(((await bills.invoice(query({ until: "2026-01-15T00:00:00Z" }))) as Bill).currency, "EUR");
  assert.equal(((await bills.invoice(query({ since: "2026-01-15T00:00:00Z" }))) as Bill).currency, "USD");
});
