import type { LedgerEntry } from "./ledger/contract.ts";
import { type Prices, partsToMicros, priceParts, pricesAt } from "./price.ts";

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
  const seconds = secondsUntil(startMicros, endMicros);
  return seconds === 0n ? 1n : seconds;
}

/**
 * The invoice of these segments under these prices (as {@link pricesInOrder} gives them): a pure function, so that anyone
 * with the ledger and the price lists gets the same sum to the last millionth.
 *
 * A second belongs to the period, and to the price list, in which it began; seconds before the first list cost nothing.
 * A line is the price of the segment up to the period's end, rounded up to whole millionths, less the same up to the
 * period's start: the invoices of two periods that meet add up exactly to the invoice of both.
 */
export function invoice(
  segments: readonly BillableSegment[],
  prices: readonly Prices[],
  period: BillingPeriod = {},
): Invoice {
  const currencies = new Set<string>();
  const lines: InvoiceLine[] = [];
  for (const segment of segments) {
    const total = billedSeconds(segment.startMicros, segment.endMicros);
    const clip = (micros: bigint): bigint => smaller(secondsUntil(segment.startMicros, micros), total);
    const from = period.sinceMicros === undefined ? 0n : clip(period.sinceMicros);
    const to = period.untilMicros === undefined ? total : clip(period.untilMicros);
    if (to <= from) continue;
    const priceUpTo = (seconds: bigint): bigint => {
      let parts = 0n;
      for (const stretch of stretchesOf(segment.startMicros, seconds, prices)) {
        parts += priceParts(segment, stretch.to - stretch.from, stretch.prices);
        if (stretch.to > from) currencies.add(stretch.prices.currency);
      }
      return partsToMicros(parts);
    };
    lines.push({ segment, seconds: to - from, priceMicros: priceUpTo(to) - priceUpTo(from) });
  }
  return {
    currency: [...currencies][0] ?? prices.at(-1)?.currency ?? "",
    currencies: [...currencies],
    lines,
    seconds: lines.reduce((sum, line) => sum + line.seconds, 0n),
    priceMicros: lines.reduce((sum, line) => sum + line.priceMicros, 0n),
  };
}

/** How many of the seconds that begin at `startMicros` and every second after it begin before `endMicros`. */
function secondsUntil(startMicros: bigint, endMicros: bigint): bigint {
  return endMicros > startMicros ? (endMicros - startMicros + 999_999n) / 1_000_000n : 0n;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

interface Stretch {
  readonly from: bigint;
  readonly to: bigint;
  readonly prices: Prices;
}

/** The first `seconds` of a segment, cut where another price list takes over; without those before the first list. */
function* stretchesOf(startMicros: bigint, seconds: bigint, lists: readonly Prices[]): Generator<Stretch> {
  for (let from = 0n; from < seconds; ) {
    const at = startMicros + from * 1_000_000n;
    const next = lists.find((one) => one.effectiveMicros > at);
    const to = next === undefined ? seconds : smaller(secondsUntil(startMicros, next.effectiveMicros), seconds);
    const prices = pricesAt(lists, at);
    if (prices !== undefined) yield { from, to, prices };
    from = to;
  }
}
