import assert from "node:assert/strict";
import { test } from "node:test";
import { isopodApiVersion, type PriceList } from "@isopod/api";
import fc from "fast-check";
import { formatMicros, partsToMicros, priceParts, pricesAt, pricesInOrder, ratesIn } from "./price.ts";

function list(name: string, effectiveFrom: string, vcpuSecondMicros = 1): PriceList {
  return {
    apiVersion: isopodApiVersion,
    kind: "PriceList",
    metadata: { name },
    spec: { currency: "EUR", effectiveFrom, vcpuSecondMicros, gibSecondMicros: 1 },
  };
}

test("millionths are written as a decimal number that reads back as the same", () => {
  for (const [micros, text] of [
    [0n, "0.000000"],
    [1n, "0.000001"],
    [1_234_567n, "1.234567"],
    [-1_500_000n, "-1.500000"],
    [10n ** 30n, `1${"0".repeat(24)}.000000`],
  ] as const) {
    assert.equal(formatMicros(micros), text);
  }
  fc.assert(
    fc.property(fc.bigInt(), (micros) => {
      assert.equal(BigInt(formatMicros(micros).replace(".", "")), micros);
    }),
  );
});

test("a price is the exact product, beyond what a double can hold, and rounded up once", () => {
  const rates = { vcpuSecondMicros: 11n, gibSecondMicros: 3n };
  assert.equal(partsToMicros(priceParts({ cpuMilli: 1000, memoryMiB: 1024 }, 1n, rates)), 14n);
  // 0.1 vCPU and 128 MiB: 1.1 + 0.375 millionths.
  assert.equal(partsToMicros(priceParts({ cpuMilli: 100, memoryMiB: 128 }, 1n, rates)), 2n);
  assert.equal(partsToMicros(priceParts({ cpuMilli: 100, memoryMiB: 128 }, 1000n, rates)), 1475n);
  const huge = { ...rates, vcpuSecondMicros: 9_007_199_254_740_991n };
  assert.equal(
    partsToMicros(priceParts({ cpuMilli: 16_000, memoryMiB: 0 }, 10n ** 12n, huge)),
    9_007_199_254_740_991n * 16n * 10n ** 12n,
  );
  assert.equal(partsToMicros(0n), 0n);
});

test("lists are in force from their moment until the next, the later name winning a tie", () => {
  const prices = pricesInOrder([
    list("z", "2026-02-01T00:00:00Z", 3),
    list("b", "2026-01-01T00:00:00Z", 2),
    list("a", "2026-01-01T01:00:00+01:00", 1),
  ]);
  assert.deepEqual(
    prices.map((one) => one.running.vcpuSecondMicros),
    [1n, 2n, 3n],
  );
  const january = BigInt(Date.parse("2026-01-01T00:00:00Z")) * 1000n;
  assert.equal(pricesAt(prices, january - 1n), undefined);
  assert.equal(pricesAt(prices, january)?.running.vcpuSecondMicros, 2n);
  assert.equal(pricesAt(prices, january * 2n)?.running.vcpuSecondMicros, 3n);
});

test("a paused second costs what the list says of it, else its memory alone", () => {
  const { spec, ...rest } = list("a", "2026-01-01T00:00:00Z", 12);
  const [only] = pricesInOrder([{ ...rest, spec }]);
  assert.ok(only !== undefined);
  assert.deepEqual(ratesIn("Running", only), { vcpuSecondMicros: 12n, gibSecondMicros: 1n });
  assert.deepEqual(ratesIn("Paused", only), { vcpuSecondMicros: 0n, gibSecondMicros: 1n });
  const [said] = pricesInOrder([{ ...rest, spec: { ...spec, pausedVcpuSecondMicros: 2, pausedGibSecondMicros: 0 } }]);
  assert.deepEqual(said?.paused, { vcpuSecondMicros: 2n, gibSecondMicros: 0n });
});
