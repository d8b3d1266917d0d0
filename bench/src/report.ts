import { cpus, totalmem } from "node:os";
import { readFile, writeFile } from "node:fs/promises";

/** One measured thing: `values` in `unit`. */
export interface Series {
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
}

/** Ours against a peer's, both measured in this run. */
export interface Comparison {
  readonly ours: Series;
  readonly peer: Series;
}

/** Nearest-rank percentile; of fewer than 100 values p99 is simply the largest. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

async function machine(): Promise<string> {
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
): Promise<void> {
  const round = (value: number): number => Math.round(value * 100) / 100;
  const rows = series.map(({ what, unit, values }) => ({
    what,
    unit,
    n: values.length,
    median: round(percentile(values, 0.5)),
    p99: round(percentile(values, 0.99)),
  }));
  const ratios = comparisons.map(({ ours, peer }) => ({
    what: ours.what,
    peer: peer.what,
    median: round(percentile(ours.values, 0.5) / percentile(peer.values, 0.5)),
    p99: round(percentile(ours.values, 0.99) / percentile(peer.values, 0.99)),
  }));
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
  if (jsonPath !== undefined) {
    await writeFile(jsonPath, `${JSON.stringify({ name, machine: on, rows, ratios }, undefined, 2)}\n`);
  }
}
