import { cpus, totalmem } from "node:os";
import { readFile, writeFile } from "node:fs/promises";

/** One measured thing: `values` in `unit`. */
export interface Series {
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
  /** Rates: the larger the better, and p99 is what 99 of 100 values reach. */
  readonly isRate?: boolean;
}

/** Ours against a peer's, both measured in this run. */
export interface Comparison {
  readonly ours: Series;
  readonly peer: Series;
}

/** Something that could not be measured. */
export interface Failure {
  readonly what: string;
  readonly reason: string;
}

export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly n: number;
  readonly median: number;
  readonly p99: number;
}

export interface Ratio {
  readonly what: string;
  readonly peer: string;
  readonly median: number;
  readonly p99: number;
}

/** Nearest-rank percentile; of fewer than 100 values p99 is simply the largest. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** The value that 99 of 100 do not exceed, and for rates that 99 of 100 reach. */
function tail({ values, isRate }: Series): number {
  if (isRate !== true) return percentile(values, 0.99);
  return -percentile(
    values.map((value) => -value),
    0.99,
  );
}

/** Three digits at least: 0.045 ms stays 0.045. */
function round(value: number): number {
  return Math.abs(value) < 10 ? Math.round(value * 1000) / 1000 : Math.round(value * 100) / 100;
}

export function rowOf(series: Series): Row {
  const { what, unit, values } = series;
  return { what, unit, n: values.length, median: round(percentile(values, 0.5)), p99: round(tail(series)) };
}

/** How many times the peer's value ours is: below 1 is better, for rates above 1. */
export function ratioOf({ ours, peer }: Comparison): Ratio {
  return {
    what: ours.what,
    peer: peer.what,
    median: round(percentile(ours.values, 0.5) / percentile(peer.values, 0.5)),
    p99: round(tail(ours) / tail(peer)),
  };
}

export async function machine(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const os = /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? "Linux";
  const gib = (totalmem() / 1024 ** 3).toFixed(0);
  return `${cpus().length} × ${cpus()[0]?.model ?? "CPU"}, ${gib} GiB, ${os}`;
}

/** Prints one table, and writes the JSON file DESIGN names when one is wanted. */
export async function report(
  name: string,
  facts: string,
  series: readonly Series[],
  comparisons: readonly Comparison[],
  jsonPath: string | undefined,
  failures: readonly Failure[] = [],
): Promise<void> {
  const rows = series.map(rowOf);
  const ratios = comparisons.map(ratioOf);
  const on = `${await machine()}; ${facts}`;
  console.log(`${name}: ${on}`);
  const width = Math.max(...rows.map((row) => row.what.length), 4);
  console.log(`${"WHAT".padEnd(width)}  ${"N".padStart(4)}  ${"MEDIAN".padStart(10)}  ${"P99".padStart(10)}  UNIT`);
  for (const { what, n, median, p99, unit } of rows) {
    console.log(
      `${what.padEnd(width)}  ${String(n).padStart(4)}  ${String(median).padStart(10)}  ${String(p99).padStart(10)}  ${unit}`,
    );
  }
  for (const { what, peer, median, p99 } of ratios) console.log(`${what} / ${peer}: median ${median} ×, p99 ${p99} ×`);
  for (const { what, reason } of failures) console.log(`${what}: failed: ${reason}`);
  if (jsonPath !== undefined) {
    const all = { name, machine: on, rows, ratios, ...(failures.length > 0 ? { failures } : {}) };
    await writeFile(jsonPath, `${JSON.stringify(all, undefined, 2)}\n`);
  }
}
