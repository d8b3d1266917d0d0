import type { LedgerEntry } from "./ledger/contract.ts";
import { type Prices, partsToMicros, priceParts, pricesAt, ratesIn } from "./price.ts";

/** A segment to be billed; an open one is billed up to `endMicros` = now. */
export interface BillableSegment extends Omit<LedgerEntry, "endMicros"> {
  readonly endMicros: bigint;
  readonly isOpen: boolean;
}

/** From `sinceMicros` on, up to but without `untilMicros`; microseconds since the epoch. */
export interface BillingPeriod {
  readonly sinceMicros?: bigint;
  readonly untilMicros?: bigint;
}

/** What one segment costs within the period. */
export interface InvoiceLine {
  readonly segment: BillableSegment;
  readonly seconds: bigint;
  readonly priceMicros: bigint;
}

export interface Invoice {
  /** Of the price lists that were applied; of the last one known when none was. */
  readonly currency: string;
  /** More than one when lists of different currencies were applied: then the sum means nothing. */
  readonly currencies: readonly string[];
  readonly lines: readonly InvoiceLine[];
  readonly seconds: bigint;
  readonly priceMicros: bigint;
}

/** A started second counts as one; an instance that ended within its first second still had it. */
export function billedSeconds(startMicros: bigint, endMicros: bigint): bigint {
  return larger(secondsUntil(startMicros, endMicros), 1n);
}

/**
 * The invoice of these segments under these prices (as {@link pricesInOrder} gives them): a pure function, so that anyone
 * with the ledger and the price lists gets the same sum to the last millionth.
 *
 * A second belongs to the period, to the price list and to the segment in which it began; seconds before the first list
 * cost nothing. What pauses cut into segments is counted as one: its seconds follow one another from its start, and its
 * price up to any second is rounded up once. A line is the price up to the end of its segment, or of the period, less
 * the price up to its start: so the invoices of two periods that meet add up exactly to the invoice of both, and pausing
 * adds no second and no millionth. A segment in which no second began has no line.
 *
 * `segments` must hold all of a pod that comes before the period, or its pauses are counted as instances of their own;
 * `isBilled` says which of them may have lines.
 */
export function invoice(
  segments: readonly BillableSegment[],
  prices: readonly Prices[],
  period: BillingPeriod = {},
  isBilled: (segment: BillableSegment) => boolean = () => true,
): Invoice {
  const currencies = new Set<string>();
  const lines = new Map<BillableSegment, InvoiceLine>();
  for (const stay of staysOf(segments)) {
    const originMicros = stay[0]?.startMicros ?? 0n;
    let first = 0n;
    let partsBefore = 0n;
    for (const segment of stay) {
      const last = billedSeconds(originMicros, segment.endMicros);
      const clip = (micros: bigint): bigint => larger(smaller(secondsUntil(originMicros, micros), last), first);
      const from = period.sinceMicros === undefined ? first : clip(period.sinceMicros);
      const to = period.untilMicros === undefined ? last : clip(period.untilMicros);
      const stretches = [...stretchesOf(originMicros, first, last, prices)];
      const partsUpTo = (second: bigint): bigint =>
        stretches.reduce((parts, stretch) => {
          const seconds = smaller(stretch.to, second) - stretch.from;
          return seconds > 0n ? parts + priceParts(segment, seconds, ratesIn(segment.state, stretch.prices)) : parts;
        }, partsBefore);
      if (to > from && isBilled(segment)) {
        for (const stretch of stretches) {
          if (stretch.to > from && stretch.from < to) currencies.add(stretch.prices.currency);
        }
        const priceMicros = partsToMicros(partsUpTo(to)) - partsToMicros(partsUpTo(from));
        lines.set(segment, { segment, seconds: to - from, priceMicros });
      }
      partsBefore = partsUpTo(last);
      first = last;
    }
  }
  const inOrder = segments.flatMap((segment) => lines.get(segment) ?? []);
  return {
    currency: [...currencies][0] ?? prices.at(-1)?.currency ?? "",
    currencies: [...currencies],
    lines: inOrder,
    seconds: inOrder.reduce((sum, line) => sum + line.seconds, 0n),
    priceMicros: inOrder.reduce((sum, line) => sum + line.priceMicros, 0n),
  };
}

/** Why a segment ended whose instance went on in the next one, at that moment. */
const cuts = new Set(["Paused", "Resumed"]);

/** Segments of one pod that pauses and resumes cut from one another, each stay of a pod in its order. */
function staysOf(segments: readonly BillableSegment[]): readonly (readonly BillableSegment[])[] {
  const pods = Map.groupBy(segments, ({ namespace, podUID }) => `${namespace}/${podUID}`);
  return [...pods.values()].flatMap((ofPod) => {
    const stays: BillableSegment[][] = [];
    for (const segment of ofPod.toSorted(byTime)) {
      const before = stays.at(-1)?.at(-1);
      const isCut = before !== undefined && cuts.has(before.endCause) && before.endMicros === segment.startMicros;
      if (isCut) stays.at(-1)?.push(segment);
      else stays.push([segment]);
    }
    return stays;
  });
}

function byTime(a: BillableSegment, b: BillableSegment): number {
  if (a.startMicros !== b.startMicros) return a.startMicros < b.startMicros ? -1 : 1;
  return a.endMicros < b.endMicros ? -1 : a.endMicros > b.endMicros ? 1 : 0;
}

/** How many of the seconds that begin at `startMicros` and every second after it begin before `endMicros`. */
function secondsUntil(startMicros: bigint, endMicros: bigint): bigint {
  return endMicros > startMicros ? (endMicros - startMicros + 999_999n) / 1_000_000n : 0n;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** Seconds `from` up to but without `to`, counted from where the stay began. */
interface Stretch {
  readonly from: bigint;
  readonly to: bigint;
  readonly prices: Prices;
}

/** The seconds from `first` up to `last`, cut where another price list takes over; without those before the first list. */
function* stretchesOf(originMicros: bigint, first: bigint, last: bigint, lists: readonly Prices[]): Generator<Stretch> {
  for (let from = first; from < last; ) {
    const at = originMicros + from * 1_000_000n;
    const next = lists.find((one) => one.effectiveMicros > at);
    const to = next === undefined ? last : smaller(secondsUntil(originMicros, next.effectiveMicros), last);
    const prices = pricesAt(lists, at);
    if (prices !== undefined) yield { from, to, prices };
    from = to;
  }
}
