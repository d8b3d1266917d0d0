import { parseArgs } from "node:util";
import { benchDensity } from "./density.ts";
import type { BenchOptions } from "./options.ts";
import { benchRuntimes } from "./runtimes/runtimes.ts";
import { benchStart } from "./start.ts";

const benches: Readonly<Record<string, (options: BenchOptions) => Promise<void>>> = {
  density: benchDensity,
  runtimes: benchRuntimes,
  start: benchStart,
};

function usage(problem: string): never {
  console.error(`${problem}
usage: npm run bench -- NAME [--json FILE] [--rounds N]
  NAME is one of: ${Object.keys(benches).join(", ")}
  density: --rounds is the number of instances
  runtimes only: --parts NAME,… (these alone; docs stay as they are)`);
  process.exit(2);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "20" },
    parts: { type: "string", default: "" },
  },
});
const [name = ""] = positionals;
const bench = benches[name] ?? usage(name === "" ? "name a bench" : `there is no bench ${name}`);
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) usage("--rounds is a whole number above 0");

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (!interruption.signal.aborted) console.error("interrupted: cleaning up, which takes up to a minute …");
    interruption.abort(new Error("interrupted"));
  });
}
try {
  await bench({
    json: values.json,
    rounds,
    parts: values.parts.split(",").filter((part) => part !== ""),
    signal: interruption.signal,
  });
} catch (error) {
  if (!interruption.signal.aborted) throw error;
  process.exitCode = 130;
}
