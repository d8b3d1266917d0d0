import { join } from "node:path";
import { installationId } from "../../packages/service/src/settings.ts";
import { runProgram } from "./program.ts";

export const repositoryRoot = join(import.meta.dirname, "../..");

/**
 * What an installation has left on the host, as `scripts/reaper-check` finds it. Other installations may run beside
 * this one: only lines that name its directory, its id or one of its pods are its own.
 */
export async function leftovers(
  directory: string,
  dataDirectory: string,
  podUIDs: ReadonlySet<string>,
): Promise<readonly string[]> {
  const { stdout } = await runProgram(join(repositoryRoot, "scripts/reaper-check"), ["--data-dir", dataDirectory]);
  const id = installationId(dataDirectory);
  const isOwn = (line: string): boolean =>
    line.includes(directory) ||
    line.includes(`isopod-${id}-`) ||
    line.includes(`isopod_${id}`) ||
    mentions(line, podUIDs);
  return stdout.split("\n").filter((line) => isOwn(line) && line !== `temporary ${directory}`);
}

function mentions(line: string, podUIDs: ReadonlySet<string>): boolean {
  for (const uid of podUIDs) if (line.includes(uid)) return true;
  return false;
}
