import { type Ratio, ratioOf, rowOf } from "../report.ts";
import { type Measured, type Measurements, seriesOf } from "./measurements.ts";

const begin = (name: string): string => `<!-- written by npm run bench -- ${name} -->`;
const end = (name: string): string => `<!-- end of what npm run bench -- ${name} wrote -->`;

/** Puts a bench's results between its two markers; all other text stays. Throws when the document has no such place. */
export function replaceResults(document: string, name: string, results: string): string {
  const from = document.indexOf(begin(name));
  const to = document.indexOf(end(name));
  if (from < 0 || to < from) throw new Error(`the document has no place for the results of ${name}: ${begin(name)}`);
  return `${document.slice(0, from)}${begin(name)}\n\n${results.trim()}\n\n${document.slice(to)}`;
}

/** One table per topic, each row beside the peer's. `contenders` decides the order of rows. */
export function renderTopics(measurements: Measurements, contenders: readonly string[]): string {
  const topics = new Set([...measurements.measured, ...measurements.failed].map((one) => one.topic));
  return [...topics].map((topic) => renderTopic(topic, measurements, contenders)).join("\n\n");
}

function renderTopic(topic: string, measurements: Measurements, contenders: readonly string[]): string {
  const measured = measurements.measured.filter((one) => one.topic === topic);
  const lines: string[] = [];
  for (const what of new Set(measured.map((one) => one.what))) {
    for (const contender of contenders) {
      const one = measured.find((each) => each.what === what && each.contender === contender);
      const nothing = measurements.failedPart(topic, contender) === undefined ? "–" : "failed";
      lines.push(
        one === undefined ? tableRow([what, contender, "0", nothing, nothing, "", ""]) : figures(one, measurements),
      );
    }
  }
  for (const { contender, reason, times } of measurements.failed.filter((one) => one.topic === topic)) {
    lines.push(tableRow([topic, contender, "0", `failed ${times} ×: ${cell(reason)}`, "", "", ""]));
  }
  const { peer } = measurements;
  const head = tableRow(["what", "runtime", "n", "median", "p99", `median ÷ ${peer}`, `p99 ÷ ${peer}`]);
  return [`### ${heading(topic)}`, "", head, tableRow(Array.from({ length: 7 }, () => "---")), ...lines].join("\n");
}

function figures(one: Measured, measurements: Measurements): string {
  const { unit, n, median, p99 } = rowOf(seriesOf(one));
  const peer = measurements.peerOf(one);
  const ratio: Ratio | undefined =
    peer === undefined ? undefined : ratioOf({ ours: seriesOf(one), peer: seriesOf(peer) });
  const runtime = one.note === undefined ? one.contender : `${one.contender}, ${one.note}`;
  const times = (value: number | undefined): string =>
    value === undefined || !Number.isFinite(value) ? "" : `${value} ×`;
  return tableRow([
    one.what,
    runtime,
    String(n),
    `${median} ${unit}`,
    `${p99} ${unit}`,
    times(ratio?.median),
    times(ratio?.p99),
  ]);
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Text of others in a table's cell. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll(/\s+/g, " ");
}

function heading(topic: string): string {
  return topic.charAt(0).toUpperCase() + topic.slice(1);
}
