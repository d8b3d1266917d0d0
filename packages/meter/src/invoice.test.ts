import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BillableSegment, type BillingPeriod, billedSeconds, invoice } from "./invoice.ts";
import { type Prices, partsToMicros, priceParts, pricesAt, ratesIn } from "./price.ts";
import { entry } from "./testing/entries.ts";

const second = 1_000_000n;

function segment(startMicros: bigint, endMicros: bigint, over: Partial<BillableSegment> = {}): BillableSegment {
  return { ...entry({ startMicros, endMicros }), isOpen: false, ...over };
}

function prices(effectiveMicros: bigint, vcpuSecondMicros: bigint, currency = "EUR"): Prices {
  const running = { vcpuSecondMicros, gibSecondMicros: 7n };
  return { currency, effectiveMicros, running, paused: { vcpuSecondMicros: 0n, gibSecondMicros: 7n } };
}

const anyPrices = fc
  .uniqueArray(fc.bigInt(0n, 60n * second), { maxLength: 4 })
  .chain((times) =>
    fc.tuple(
      ...times.toSorted((a, b) => (a < b ? -1 : 1)).map((at) => fc.bigInt(0n, 1000n).map((cpu) => prices(at, cpu))),
    ),
  );

const anySegments = fc.array(
  fc
    .record({
      start: fc.bigInt(0n, 50n * second),
      span: fc.oneof(fc.bigInt(0n, 40n * second), fc.constantFrom(0n, 1n, second, second + 1n)),
      size: fc.constantFrom({ cpuMilli: 100, memoryMiB: 128 }, { cpuMilli: 250, memoryMiB: 512 }),
    })
    .map(({ start, span, size }) => segment(start, start + span, size)),
  { maxLength: 5 },
);

test("a started second counts, an empty stretch is one, and a clock set back costs no more than that", () => {
  assert.equal(billedSeconds(5n, 5n), 1n);
  assert.equal(billedSeconds(5n, 6n), 1n);
  assert.equal(billedSeconds(0n, second), 1n);
  assert.equal(billedSeconds(0n, second + 1n), 2n);
  assert.equal(billedSeconds(10n * second, 5n * second), 1n);
});

test("each second has the price that was in force when it began", () => {
  // Begins at 0.5 s; the price changes at 3 s: the seconds from 0.5, 1.5 and 2.5 have the old one.
  const lists = [prices(0n, 1000n), prices(3n * second, 2000n)];
  const one = segment(second / 2n, 6n * second, { cpuMilli: 1000, memoryMiB: 0 });
  const bill = invoice([one], lists);
  assert.equal(bill.seconds, 6n);
  assert.equal(bill.priceMicros, 3n * 1000n + 3n * 2000n);
  assert.deepEqual(bill.currencies, ["EUR"]);
  assert.equal(invoice([one], [prices(3n * second, 2000n)]).priceMicros, 3n * 2000n);
  assert.equal(invoice([one], []).priceMicros, 0n);
});

test("an invoice is what pricing second by second and rounding each line up gives", () => {
  fc.assert(
    fc.property(anySegments, anyPrices, (segments, lists) => {
      const bill = invoice(segments, lists);
      assert.equal(bill.lines.length, segments.length);
      for (const line of bill.lines) {
        let parts = 0n;
        for (let passed = 0n; passed < line.seconds; passed++) {
          const current = pricesAt(lists, line.segment.startMicros + passed * second);
          if (current !== undefined) parts += priceParts(line.segment, 1n, current.running);
        }
        assert.equal(line.priceMicros, partsToMicros(parts));
      }
    }),
  );
});

test("wherever a period is cut, the invoices of its parts add up to its own, to the second and the millionth", () => {
  fc.assert(
    fc.property(
      anySegments,
      anyPrices,
      fc.array(fc.bigInt(0n, 100n * second), { maxLength: 4 }),
      (segments, lists, cuts) => {
        const edges = cuts.toSorted((a, b) => (a < b ? -1 : 1));
        const periods = [undefined, ...edges].map((sinceMicros, index): BillingPeriod => {
          const untilMicros = edges[index];
          return {
            ...(sinceMicros === undefined ? {} : { sinceMicros }),
            ...(untilMicros === undefined ? {} : { untilMicros }),
          };
        });
        const whole = invoice(segments, lists);
        const parts = periods.map((period) => invoice(segments, lists, period));
        const sum = (pick: (bill: typeof whole) => bigint): bigint => parts.reduce((all, part) => all + pick(part), 0n);
        assert.equal(
          sum((bill) => bill.seconds),
          whole.seconds,
        );
        assert.equal(
          sum((bill) => bill.priceMicros),
          whole.priceMicros,
        );
      },
    ),
  );
});

test("a period bills only the seconds that begin in it, and a segment outside of it has no line", () => {
  const one = segment(0n, 10n * second, { cpuMilli: 1000, memoryMiB: 0 });
  const lists = [prices(0n, 5n)];
  const bill = invoice([one], lists, { sinceMicros: 3n * second, untilMicros: 7n * second });
  assert.equal(bill.seconds, 4n);
  assert.equal(bill.priceMicros, 20n);
  assert.deepEqual(invoice([one], lists, { sinceMicros: 10n * second }).lines, []);
  assert.deepEqual(invoice([one], lists, { untilMicros: 0n }).lines, []);
});

test("the currency is that of the lists applied, not of one that is yet to come; two are told", () => {
  const lists = [prices(0n, 1n, "EUR"), prices(100n * second, 1n, "USD")];
  assert.equal(invoice([segment(0n, second)], lists).currency, "EUR");
  assert.deepEqual(invoice([segment(99n * second, 102n * second)], lists).currencies, ["EUR", "USD"]);
  assert.deepEqual(invoice([segment(99n * second, 102n * second)], lists, { sinceMicros: 100n * second }).currencies, [
    "USD",
  ]);
});

/** One stay of an instance in a VM, cut by pauses: running, paused, running, … */
function cutStay(
  startMicros: bigint,
  spans: readonly bigint[],
  over: Partial<BillableSegment> = {},
): BillableSegment[] {
  let at = startMicros;
  return spans.map((span, index) => {
    const [from, isPaused] = [at, index % 2 === 1];
    at += span;
    const isLast = index === spans.length - 1;
    const endCause = isLast ? "Completed" : isPaused ? "Resumed" : "Paused";
    return segment(from, at, { segment: `uid-${index}`, state: isPaused ? "Paused" : "Running", endCause, ...over });
  });
}

const anyStay = fc
  .record({
    start: fc.bigInt(0n, 30n * second),
    spans: fc.array(fc.oneof(fc.bigInt(0n, 9n * second), fc.constantFrom(0n, 1n, second)), {
      minLength: 1,
      maxLength: 6,
    }),
  })
  .map(({ start, spans }) => cutStay(start, spans));

const spanOf = (stay: readonly BillableSegment[]): readonly [bigint, bigint] => [
  stay[0]?.startMicros ?? 0n,
  stay.at(-1)?.endMicros ?? 0n,
];

test("pauses split a bill exactly: every second is in one line, at the price of the state in which it began", () => {
  fc.assert(
    fc.property(anyStay, anyPrices, (stay, lists) => {
      const [start, end] = spanOf(stay);
      const bill = invoice(stay, lists);
      assert.equal(bill.seconds, billedSeconds(start, end));
      const counted = new Map<BillableSegment, bigint>();
      let parts = 0n;
      for (let passed = 0n; passed < bill.seconds; passed++) {
        const at = start + passed * second;
        // The first second is the first segment's, even if that ended in the microsecond in which it began.
        const owner = passed === 0n ? stay[0] : stay.find((one) => one.startMicros <= at && at < one.endMicros);
        assert.ok(owner !== undefined);
        counted.set(owner, (counted.get(owner) ?? 0n) + 1n);
        const current = pricesAt(lists, at);
        if (current !== undefined) parts += priceParts(owner, 1n, ratesIn(owner.state, current));
      }
      assert.deepEqual(new Map(bill.lines.map((line) => [line.segment, line.seconds])), counted);
      assert.equal(bill.priceMicros, partsToMicros(parts));
    }),
  );
});

test("where a paused second costs the same, pausing changes no bill, of no period", () => {
  const same = anyPrices.map((lists) => lists.map((one) => ({ ...one, paused: one.running })));
  const periods = fc.record({ since: fc.bigInt(0n, 60n * second), length: fc.bigInt(0n, 60n * second) });
  fc.assert(
    fc.property(anyStay, same, periods, (stay, lists, { since, length }) => {
      const period = { sinceMicros: since, untilMicros: since + length };
      const whole = invoice([segment(...spanOf(stay))], lists, period);
      const split = invoice(stay, lists, period);
      assert.deepEqual([split.seconds, split.priceMicros], [whole.seconds, whole.priceMicros]);
    }),
  );
});

test("a pause within one second costs nothing of its own, and the bill says nothing of it", () => {
  const lists = [prices(0n, 5n)];
  const stay = cutStay(0n, [second / 5n, second / 5n, 2n * second], { cpuMilli: 1000, memoryMiB: 0 });
  const bill = invoice(stay, lists);
  assert.deepEqual(
    bill.lines.map((line) => [line.segment.segment, line.segment.state, line.seconds, line.priceMicros]),
    [
      ["uid-0", "Running", 1n, 5n],
      ["uid-2", "Running", 2n, 10n],
    ],
  );
});

test("a paused instance pays for what it holds, and a new machine begins a second of its own", () => {
  const lists = [prices(0n, 8n)];
  const half = { cpuMilli: 500, memoryMiB: 1024 };
  const stay = cutStay(0n, [3n * second, 10n * second], half);
  const lines = invoice(stay, lists).lines.map((line) => [line.segment.state, line.seconds, line.priceMicros]);
  // 0.5 vCPU and 1 GiB: 4 + 7 running, 7 paused.
  assert.deepEqual(lines, [
    ["Running", 3n, 33n],
    ["Paused", 10n, 70n],
  ]);
  const lost = [segment(0n, second / 2n, { endCause: "VMLost" }), segment(second / 2n, second, { segment: "uid-1" })];
  assert.equal(invoice(lost, lists).seconds, 2n);
});

test("a line is what is asked for; the seconds of the rest still say where it begins", () => {
  const stay = cutStay(0n, [second / 2n, second, second]);
  const bill = invoice(stay, [prices(0n, 1n)], {}, (one) => one.segment === "uid-2");
  assert.deepEqual(
    bill.lines.map((line) => [line.segment.segment, line.seconds]),
    [["uid-2", 1n]],
  );
  assert.equal(bill.seconds, 1n);
});
