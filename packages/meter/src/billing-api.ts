import {
  badRequest,
  describeSize,
  matchesLabels,
  parseLabelSelector,
  parseQuantity,
  quantityToBytes,
  quantityToMilli,
  resources,
  roundUpSize,
} from "@isopod/api";
import type { Clock } from "@isopod/base";
import type { KubeClient } from "@isopod/client";
import { type BillableSegment, invoice } from "./invoice.ts";
import type { Ledger } from "./ledger/contract.ts";
import { entryOf, type Meter } from "./meter.ts";
import { formatMicros, partsToMicros, priceParts, pricesAt, pricesInOrder, type Rates } from "./price.ts";

export const billingGroup = "billing.isopod.dev";
export const billingVersion = "v1alpha1";

export interface BillingApiOptions {
  readonly client: KubeClient;
  readonly ledger: Ledger;
  readonly meter: Meter;
  readonly clock: Clock;
}

/**
 * The read-only API group `billing.isopod.dev/v1alpha1`:
 * `GET prices?cpu=&memory=` and `GET invoices?namespace=&labelSelector=&since=&until=` (RFC 3339).
 * Amounts are strings of whole millionths: JSON numbers would round them.
 */
export class BillingApi {
  readonly group = billingGroup;
  readonly version = billingVersion;
  readonly #options: BillingApiOptions;

  constructor(options: BillingApiOptions) {
    this.#options = options;
  }

  async price(query: URLSearchParams): Promise<object> {
    const { client, clock } = this.#options;
    const amount = (name: string, convert: (text: string) => number): number => {
      const text = query.get(name);
      if (text === null || text === "")
        throw badRequest(`${name} is missing; give it as in ${name}=${name === "cpu" ? "0.5" : "512Mi"}`);
      let value: number;
      try {
        value = convert(text);
      } catch (cause) {
        throw badRequest(`${name}=${text}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
      }
      if (!(value > 0)) throw badRequest(`${name}=${text} must be above 0`);
      return value;
    };
    const requested = {
      cpuMilli: amount("cpu", (text) => quantityToMilli(parseQuantity(text))),
      memoryMiB: amount("memory", (text) => Math.ceil(quantityToBytes(parseQuantity(text)) / 1_048_576)),
    };
    const size = roundUpSize(requested);
    if (size === undefined) throw badRequest(`${describeSize(requested)} is beyond the largest instance size`);
    const prices = pricesInOrder((await client.list(resources.pricelists)).items);
    const current = pricesAt(prices, clock.nowMicros());
    if (current === undefined) throw badRequest("no price list is in force; create a PriceList");
    const quote = (rates: Rates): object => {
      const micros = (seconds: bigint): string => String(partsToMicros(priceParts(size, seconds, rates)));
      return { secondMicros: micros(1n), hourMicros: micros(3600n), monthMicros: micros(730n * 3600n) };
    };
    return {
      kind: "PriceQuote",
      apiVersion: `${billingGroup}/${billingVersion}`,
      requested,
      size,
      isRounded: size.cpuMilli !== requested.cpuMilli || size.memoryMiB !== requested.memoryMiB,
      currency: current.currency,
      ...quote(current.running),
      paused: quote(current.paused),
    };
  }

  async invoice(query: URLSearchParams): Promise<object> {
    const { client, ledger, meter, clock } = this.#options;
    const namespace = query.get("namespace") === "" ? undefined : (query.get("namespace") ?? undefined);
    const [sinceMicros, untilMicros] = [timeIn(query, "since"), timeIn(query, "until")];
    if (sinceMicros !== undefined && untilMicros !== undefined && sinceMicros > untilMicros) {
      throw badRequest(`since=${query.get("since")} is after until=${query.get("until")}`);
    }
    const period = {
      ...(sinceMicros === undefined ? {} : { sinceMicros }),
      ...(untilMicros === undefined ? {} : { untilMicros }),
    };
    const selector = parseLabelSelector(query.get("labelSelector") ?? "");
    const now = Number(clock.nowMicros());
    // Before the ledger is asked: what is recorded meanwhile is in one of the two, and counted once.
    const pending = meter.unrecordedSegments();
    const closed = await ledger.list({ ...(namespace === undefined ? {} : { namespace }), ...period });
    // The seconds of an instance that was paused are counted from its start, which may be before the period.
    const podUIDs = [...closed, ...pending.map((one) => one.spec)].map((one) => one.podUID);
    const earlier = sinceMicros === undefined ? [] : await ledger.listOfPods([...new Set(podUIDs)]);
    const recorded = new Map([...earlier, ...closed].map((one) => [`${one.namespace}/${one.segment}`, one]));
    const segments = [
      ...[...recorded.values()].map((one): BillableSegment => ({ ...one, isOpen: false })),
      ...pending
        .map((segment): BillableSegment => {
          const { endMicros } = segment.spec;
          return { ...entryOf(segment, endMicros ?? now), isOpen: endMicros === undefined };
        })
        .filter((one) => !recorded.has(`${one.namespace}/${one.segment}`)),
    ];
    const isBilled = (one: BillableSegment): boolean =>
      (namespace === undefined || one.namespace === namespace) && matchesLabels(selector, one.labels);
    const prices = pricesInOrder((await client.list(resources.pricelists)).items);
    const bill = invoice(segments, prices, period, isBilled);
    if (bill.currencies.length > 1) {
      throw badRequest(
        `the price lists of this period are in ${bill.currencies.join(" and ")}: ask with since and until for one of them at a time`,
      );
    }
    return {
      kind: "Invoice",
      apiVersion: `${billingGroup}/${billingVersion}`,
      currency: bill.currency,
      totalSeconds: String(bill.seconds),
      totalMicros: String(bill.priceMicros),
      total: formatMicros(bill.priceMicros),
      lines: bill.lines.map(({ segment, seconds, priceMicros }) => ({
        namespace: segment.namespace,
        pod: segment.podName,
        podUID: segment.podUID,
        segment: segment.segment,
        node: segment.nodeName,
        cpuMilli: segment.cpuMilli,
        memoryMiB: segment.memoryMiB,
        state: segment.state,
        start: new Date(Number(segment.startMicros / 1000n)).toISOString(),
        startMicros: String(segment.startMicros),
        ...(segment.isOpen ? {} : { endMicros: String(segment.endMicros), endCause: segment.endCause }),
        isOpen: segment.isOpen,
        seconds: String(seconds),
        priceMicros: String(priceMicros),
      })),
    };
  }
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;

/** A time of the query in microseconds; undefined when it is absent. Throws BadRequest naming it. */
function timeIn(query: URLSearchParams, name: string): bigint | undefined {
  // A `+` that was not escaped arrives as a space.
  const text = query.get(name)?.replace(" ", "+") ?? "";
  if (text === "") return undefined;
  const ms = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw badRequest(`${name}=${text} is not an RFC 3339 time, as in 2026-01-31T00:00:00Z`);
  return BigInt(ms) * 1000n;
}
