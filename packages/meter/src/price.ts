import { type InstanceSize, type PriceList, pausedPrices, type SecondPrices, type UsageSegment } from "@isopod/api";

/** What one vCPU and one GiB cost for a second, in millionths of the currency unit. */
export interface Rates {
  readonly vcpuSecondMicros: bigint;
  readonly gibSecondMicros: bigint;
}

/** One price list as integers; times in microseconds since the epoch. */
export interface Prices {
  readonly currency: string;
  readonly effectiveMicros: bigint;
  readonly running: Rates;
  readonly paused: Rates;
}

/** Price lists in the order they take effect; of two with the same moment the later name wins. */
export function pricesInOrder(lists: Iterable<PriceList>): readonly Prices[] {
  return [...lists]
    .toSorted((a, b) => {
      const byTime = Date.parse(a.spec.effectiveFrom) - Date.parse(b.spec.effectiveFrom);
      if (byTime !== 0) return byTime;
      return a.metadata.name < b.metadata.name ? -1 : 1;
    })
    .map(({ spec }) => ({
      currency: spec.currency,
      effectiveMicros: BigInt(Date.parse(spec.effectiveFrom)) * 1000n,
      running: ratesOf(spec),
      paused: ratesOf(pausedPrices(spec)),
    }));
}

function ratesOf({ vcpuSecondMicros, gibSecondMicros }: SecondPrices): Rates {
  return { vcpuSecondMicros: BigInt(vcpuSecondMicros), gibSecondMicros: BigInt(gibSecondMicros) };
}

/** What a second in that state costs. */
export function ratesIn(state: UsageSegment["spec"]["state"], prices: Prices): Rates {
  return state === "Paused" ? prices.paused : prices.running;
}

/** The prices in force at a moment; undefined before the first list. */
export function pricesAt(prices: readonly Prices[], atMicros: bigint): Prices | undefined {
  return prices.findLast((one) => one.effectiveMicros <= atMicros);
}

/** Parts of a millionth: 1 vCPU = 1000 mCPU, 1 GiB = 1024 MiB; their product keeps sums exact until the one rounding. */
const partsPerMicro = 1000n * 1024n;

/** Price of `seconds` of a size, in parts of a millionth of the currency unit. */
export function priceParts(size: InstanceSize, seconds: bigint, rates: Rates): bigint {
  const cpu = BigInt(size.cpuMilli) * rates.vcpuSecondMicros * 1024n;
  const memory = BigInt(size.memoryMiB) * rates.gibSecondMicros * 1000n;
  return (cpu + memory) * seconds;
}

/** Rounds parts up to whole millionths: never on the way to a sum. */
export function partsToMicros(parts: bigint): bigint {
  return (parts + partsPerMicro - 1n) / partsPerMicro;
}

/** Millionths as a decimal number of the currency unit: `1234567n` → `1.234567`. */
export function formatMicros(micros: bigint): string {
  const sign = micros < 0n ? "-" : "";
  const absolute = micros < 0n ? -micros : micros;
  return `${sign}${absolute / 1_000_000n}.${String(absolute % 1_000_000n).padStart(6, "0")}`;
}
