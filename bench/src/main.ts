import { parseArgs } from "node:util";
import { benchStart } from "./start.ts";

const benches: Readonly<
  Record<string, (options: { readonly json: string | undefined; readonly rounds: number }) => Promise<void>>
> = {
  start: benchStart,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, rounds: { type: "string", default: "20" } },
});
const [name = ""] = positionals;
const bench = benches[name];
if (bench === undefined) {
  console.error(
    `usage: npm run bench -- NAME [--json FILE] [--rounds N]; NAME is one of: ${Object.keys(benches).join(", ")}`,
  );
  process.exit(2);
}
await bench({ json: values.json, rounds: Number(values.rounds) });
