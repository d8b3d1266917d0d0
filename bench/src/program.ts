import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Longest that any one command of a bench may take; the slowest, fio in an emulated guest, takes a tenth of it. */
const timeoutMs = 10 * 60_000;

/** Runs a program to its end and gives its output. The error of one that fails ends with what it wrote to stderr. */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly signal?: AbortSignal } = {},
): Promise<string> {
  return (await execute(program, [...args], { timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024, ...options })).stdout;
}

/** Whether a program is installed. */
export async function isInstalled(program: string): Promise<boolean> {
  return await run("sh", ["-c", 'command -v "$1"', "sh", program]).then(
    () => true,
    () => false,
  );
}
