import { spawn } from "node:child_process";

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Standard input; without it there is none. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** Default 120 s: emulated VMs on a busy host take their time. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. A program that takes longer than `timeoutMs` is killed, and that is an error. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Outcome> {
  const timeoutMs = options.timeoutMs ?? 120_000;
  const child = spawn(program, [...args], {
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  let hasTimedOut = false;
  const timer = setTimeout(() => {
    hasTimedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const abort = (): void => void child.kill("SIGTERM");
  options.signal?.addEventListener("abort", abort, { once: true });
  try {
    const [stdout, stderr, exitCode] = await Promise.all([
      child.stdout.toArray(),
      child.stderr.toArray(),
      new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (code, signal) => resolve(code ?? (signal === null ? -1 : 1000)));
      }),
    ]);
    const outcome = {
      exitCode,
      stdout: Buffer.concat(stdout as Buffer[]).toString(),
      stderr: Buffer.concat(stderr as Buffer[]).toString(),
    };
    if (hasTimedOut) {
      throw new Error(
        `${program} ${args.join(" ")} did not end within ${timeoutMs / 1000} s\n${outcome.stdout}\n${outcome.stderr}`,
      );
    }
    return outcome;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
  }
}

/** Runs a program that has to succeed; returns its standard output. */
export async function mustRun(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(program, args, options);
  if (exitCode !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${exitCode}:\n${stdout}\n${stderr}`);
  return stdout;
}
