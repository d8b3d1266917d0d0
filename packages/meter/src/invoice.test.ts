import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BillableSegment, type BillingPeriod, billedSeconds, invoice } from "./invoice.ts";
import { type Prices, partsToMicros, priceParts, pricesAt } from "./price.ts";
import { entry } from "./testing/entries.ts";

const second = 1_000_000n;

function segment(startMicros: bigint, endMicros: bigint, over: Partial<BillableSegment> = {}): BillableSegment {
  return { ...entry({ startMicros, endMicros }), isOpen: false, ...over };
}

function prices(effectiveMicros: bigint, vcpuSecondMicros: bigint, currency = "EUR"): Prices {
  return { currency, effectiveMicros, vcpuSecondMicros, gibSecondMicros: 7n };
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
          if (current !== undefined) parts += priceParts(line.segment, 1n, current);
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
