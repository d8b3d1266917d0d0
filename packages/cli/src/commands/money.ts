import { describeSize } from "@isopod/api";
import { type GlobalOptions, openContext } from "../context.ts";
import { formatAmount, formatTable, print, printJson } from "../output.ts";

const billingPath = "/apis/billing.isopod.dev/v1alpha1";

interface Size {
  readonly cpuMilli: number;
  readonly memoryMiB: number;
}

interface Amounts {
  readonly secondMicros: string;
  readonly hourMicros: string;
  readonly monthMicros: string;
}

export interface Price extends Amounts {
  readonly requested: Size;
  readonly size: Size;
  readonly isRounded: boolean;
  readonly currency: string;
  /** The same while the instance is paused. */
  readonly paused: Amounts;
}

export interface PriceOptions extends GlobalOptions {
  readonly cpu?: string;
  readonly memory?: string;
}

/** `isopod price --cpu 0.5 --memory 256Mi`: what a size costs, before it is bought. */
export async function price(options: PriceOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const answer = (await client.transport.json("GET", `${billingPath}/prices`, {
    query: { cpu: options.cpu ?? "0.25", memory: options.memory ?? "512Mi" },
  })) as Price;
  if (isJson) {
    printJson(answer);
    return 0;
  }
  if (answer.isRounded) print(`${describeSize(answer.requested)} is rounded up to ${describeSize(answer.size)}.`);
  print(formatPrice(answer));
  return 0;
}

/** A size's price running and paused, a line per length of time. */
export function formatPrice(answer: Price): string {
  const row = (what: string, key: keyof Amounts): string[] => [
    what,
    formatAmount(BigInt(answer[key])),
    formatAmount(BigInt(answer.paused[key])),
    answer.currency,
  ];
  return formatTable(
    [describeSize(answer.size).toUpperCase(), "RUNNING", "PAUSED", ""],
    [row("second", "secondMicros"), row("hour", "hourMicros"), row("month of 730 h", "monthMicros")],
  );
}

export interface Bill {
  readonly currency: string;
  readonly totalSeconds: string;
  readonly totalMicros: string;
  readonly lines: readonly {
    readonly namespace: string;
    readonly pod: string;
    readonly cpuMilli: number;
    readonly memoryMiB: number;
    readonly state: string;
    readonly start: string;
    readonly isOpen: boolean;
    readonly endCause?: string;
    readonly seconds: string;
    readonly priceMicros: string;
  }[];
}

export interface BillOptions extends GlobalOptions {
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly since?: string;
  readonly until?: string;
}

/** `isopod bill`: what ran, for how many seconds, at what price. */
export async function bill(options: BillOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const answer = (await client.transport.json("GET", `${billingPath}/invoices`, {
    query: {
      namespace: options.allNamespaces === true ? undefined : context.namespace,
      labelSelector: options.selector,
      since: options.since,
      until: options.until,
    },
  })) as Bill;
  if (isJson) {
    printJson(answer);
    return 0;
  }
  print(formatBill(answer, options.allNamespaces === true));
  return 0;
}

/** A line per segment, and the sum. */
export function formatBill(answer: Bill, hasNamespace: boolean): string {
  const rows = answer.lines.map((line) => [
    ...(hasNamespace ? [line.namespace] : []),
    line.pod,
    String(line.cpuMilli / 1000),
    `${line.memoryMiB}Mi`,
    line.start.slice(0, 19).replace("T", " "),
    line.state,
    line.isOpen ? "open" : (line.endCause ?? ""),
    line.seconds,
    formatAmount(BigInt(line.priceMicros)),
  ]);
  const header = ["INSTANCE", "VCPU", "MEMORY", "START", "STATE", "END", "SECONDS", answer.currency || "PRICE"];
  const table = formatTable(hasNamespace ? ["NAMESPACE", ...header] : header, rows);
  return `${table}\ntotal ${answer.totalSeconds} s, ${formatAmount(BigInt(answer.totalMicros))} ${answer.currency}`;
}
