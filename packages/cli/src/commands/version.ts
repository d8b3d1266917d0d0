import { readFile } from "node:fs/promises";
import { type GlobalOptions, openContext } from "../context.ts";
import { print, printJson } from "../output.ts";

/** `isopod version`: ours always, the service's when one answers. */
export async function version(options: GlobalOptions): Promise<number> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  const client = (JSON.parse(text) as { readonly version: string }).version;
  let server: string | undefined;
  try {
    using context = await openContext(options);
    const answer = (await context.client.transport.json("GET", "/version")) as { readonly gitVersion: string };
    server = answer.gitVersion;
  } catch {
    server = undefined;
  }
  if (options.output === "json") printJson({ client, ...(server === undefined ? {} : { server }) });
  else print(`client ${client}\nserver ${server ?? "(not running)"}`);
  return 0;
}
