import { styleText } from "node:util";

/** Columns padded to their widest cell, two spaces apart, no line longer than its content. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(header), ...rows.map(line)].join("\n");
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** News for a person, beside the command's own output. */
export function note(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? styleText("dim", text) : text}\n`);
}

/** Millionths of a currency unit, as decimal text: `1234` → `0.001234`. */
export function formatAmount(micros: bigint): string {
  return `${micros / 1_000_000n}.${String(micros % 1_000_000n).padStart(6, "0")}`;
}
