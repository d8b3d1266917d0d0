import { spawn } from "node:child_process";

/** Longest that any one command of a bench may take; the slowest, fio in an emulated guest, takes a tenth of it. */
const timeoutMs = 10 * 60_000;

/** A program that failed, with all that it wrote. */
export class ProgramError extends Error {
  readonly stdout: string;
  readonly stderr: string;
  constructor(message: string, output: { readonly stdout: string; readonly stderr: string }) {
    super(message);
    this.stdout = output.stdout;
    this.stderr = output.stderr;
  }
}

/** Runs a program to its end and gives its output. Throws {@link ProgramError}. */
export async function run(
  program: string,
  args: readonly string[],
  { env, signal }: { readonly env?: NodeJS.ProcessEnv; readonly signal?: AbortSignal } = {},
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
      // In a session of its own: Ctrl-C on a terminal reaches the bench alone, which has to clean up with such programs.
      detached: true,
      ...(env === undefined ? {} : { env }),
      ...(signal === undefined ? {} : { signal }),
    });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.once("error", reject);
    child.once("close", (code, killedBy) => {
      const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (code === 0) return resolve(output.stdout);
      const how = code === null ? `was killed by ${killedBy}` : `ended with code ${code}`;
      const command = [program, ...args].join(" ").slice(0, 200);
      reject(new ProgramError(`${command} ${how}: ${output.stderr.trim()}`, output));
    });
  });
}

/** Whether a program is installed. */
export async function isInstalled(program: string): Promise<boolean> {
  return await run("sh", ["-c", 'command -v "$1"', "sh", program]).then(
    () => true,
    () => false,
  );
}
