import type { LedgerEntry } from "./ledger/contract.ts";
import { type Prices, partsToMicros, priceParts, pricesAt } from "./price.ts";

/** A segment to be billed; an open one is billed up to `endMicros` = now. */
export interface BillableSegment extends Omit<LedgerEntry, "endMicros"> {
  readonly endMicros: bigint;
  readonly isOpen: boolean;
}

export interface InvoiceLine {
  readonly segment: BillableSegment;
  readonly seconds: bigint;
  readonly priceMicros: bigint;
}

export interface Invoice {
  readonly currency: string;
  readonly lines: readonly InvoiceLine[];
  readonly seconds: bigint;
  readonly priceMicros: bigint;
}

/** A started second counts as one; an instance that ended within its first second still had it. */
export function billedSeconds(startMicros: bigint, endMicros: bigint): bigint {
  const span = endMicros > startMicros ? endMicros - startMicros : 0n;
  const seconds = (span + 999_999n) / 1_000_000n;
  return seconds === 0n ? 1n : seconds;
}

/**
 * The invoice of these segments under these prices: a pure function, so that anyone with the ledger and the price lists
 * gets the same sum to the last millionth.
 *
 * A second is priced by the list in force when it began; seconds before the first list cost nothing. Each line is rounded
 * up once to whole millionths.
 */
export function invoice(segments: readonly BillableSegment[], prices: readonly Prices[]): Invoice {
  const lines = segments.map((segment): InvoiceLine => {
    const seconds = billedSeconds(segment.startMicros, segment.endMicros);
    return { segment, seconds, priceMicros: partsToMicros(segmentParts(segment, seconds, prices)) };
  });
  return {
    currency: prices.at(-1)?.currency ?? "",
    lines,
    seconds: lines.reduce((sum, line) => sum + line.seconds, 0n),
    priceMicros: lines.reduce((sum, line) => sum + line.priceMicros, 0n),
  };
}

function segmentParts(segment: BillableSegment, seconds: bigint, prices: readonly Prices[]): bigint {
  let parts = 0n;
  let billed = 0n;
  while (billed < seconds) {
    const at = segment.startMicros + billed * 1_000_000n;
    const next = prices.find((one) => one.effectiveMicros > at);
    // Seconds that begin before the next list takes over.
    const until = next === undefined ? seconds : (next.effectiveMicros - segment.startMicros + 999_999n) / 1_000_000n;
    const upTo = until < seconds ? until : seconds;
    const current = pricesAt(prices, at);
    if (current !== undefined) parts += priceParts(segment, upTo - billed, current);
    billed = upTo;
  }
  return parts;
}
