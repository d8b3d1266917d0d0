import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { CommandError, type CommandOutput, runCommand } from "@isopod/base";

/** Runs a program of the host with `input` on its standard input, and resolves with its output when it has succeeded. */
export type RunCommand = (
  program: string,
  args: readonly string[],
  options?: { readonly input?: string },
) => Promise<CommandOutput>;

/** Shells at most: what changes one host's network waits for the kernel's one lock soon enough. */
const maxShells = 4;
/** What a program may print; the links of a VPC with a thousand interfaces take half a MiB. */
const maxOutputBytes = 64 * 1024 * 1024;
/** A shell's word for a program it does not find. */
const notFoundCode = 127;

/**
 * Runs the host's programs through a few shells that live as long as this process.
 *
 * Node forks itself for every process it starts, and stands still meanwhile: 1 ms with 75 MiB, 3 to 5 ms with the
 * 220 MiB of a service at work, 10 ms under load, and a start of an instance needs several. A shell has 1 MiB to fork.
 * The same `ip -batch` took 8 ms by Node's own spawn, and 3 ms by a shell, of which Node is busy for a fraction.
 *
 * Rejects with `CommandError`, as `runCommand` does.
 */
export class CommandShells {
  readonly #idle: CommandShell[] = [];
  readonly #waiting: ((shell: CommandShell) => void)[] = [];
  #count = 0;

  readonly run: RunCommand = async (program, args, { input = "" } = {}) => {
    const shell = await this.#take();
    const result = await shell.run(program, args, input).finally(() => this.#giveBack(shell));
    // Started once more by Node, which tells apart what a shell does not.
    if (result.exitCode === notFoundCode) return await runCommand(program, args, { input });
    if (result.exitCode === 0) return result;
    throw commandFailed(program, args, `ended with code ${result.exitCode}`, result.stderr, result.exitCode);
  };

  async #take(): Promise<CommandShell> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.isAlive) return idle;
      this.#count -= 1;
    }
    if (this.#count >= maxShells) {
      const shell = await new Promise<CommandShell>((resolve) => this.#waiting.push(resolve));
      return shell.isAlive ? shell : this.#start();
    }
    this.#count += 1;
    return this.#start();
  }

  #start(): CommandShell {
    try {
      return new CommandShell();
    } catch (error) {
      this.#count -= 1;
      throw error;
    }
  }

  #giveBack(shell: CommandShell): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next(shell);
    else if (shell.isAlive) this.#idle.push(shell);
    else this.#count -= 1;
  }
}

interface Result extends CommandOutput {
  readonly exitCode: number;
}

/** One shell, one program at a time. It ends when its standard input does, and so with this process. */
class CommandShell {
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #stdout: MarkedOutput;
  readonly #stderr: MarkedOutput;
  /** Rejects when the shell is no more. */
  readonly #ended: Promise<never>;
  isAlive = true;

  constructor() {
    const child: ChildProcess = spawn("/bin/sh", [], { stdio: "pipe", env: { ...process.env, LC_ALL: "C" } });
    const { stdin, stdout, stderr } = child;
    this.#child = child;
    const { promise, reject } = Promise.withResolvers<never>();
    this.#ended = promise;
    // Between two programs nobody listens.
    promise.catch(() => {});
    const end = (error: Error): void => {
      this.isAlive = false;
      reject(error);
    };
    child.on("error", end);
    child.on("close", () => end(new Error("the shell ended")));
    // Without a free descriptor there are no streams, only the error that found its listener above.
    if (!(stdin && stdout && stderr)) {
      throw commandFailed("/bin/sh", [], "could not be started: this process has no descriptor left", "");
    }
    stdin.on("error", end);
    this.#stdin = stdin;
    this.#stdout = new MarkedOutput(stdout);
    this.#stderr = new MarkedOutput(stderr);
    this.#hold(false);
  }

  async run(program: string, args: readonly string[], input: string): Promise<Result> {
    const mark = randomUUID();
    const command = [program, ...args].map(quoted).join(" ");
    const text = input === "" || input.endsWith("\n") ? input : `${input}\n`;
    // In braces: a shell whose input ends half-way through, because this process was killed, runs none of it.
    const script = `{ ${command} <<'${mark}'\n${text}${mark}\n}; printf '\\n${mark} %d\\n' $?; printf '\\n${mark}\\n' >&2\n`;
    this.#hold(true);
    try {
      const outputs = Promise.all([this.#stdout.until(mark), this.#stderr.until(mark)]);
      this.#stdin.write(script);
      const [stdout, stderr] = await Promise.race([outputs, this.#ended]);
      return { stdout: stdout.text, stderr: stderr.text, exitCode: Number(stdout.rest) };
    } catch (error) {
      this.isAlive = false;
      this.#child.kill("SIGKILL");
      const why = error instanceof Error ? error.message : String(error);
      throw commandFailed(program, args, `has no known outcome: ${why}`, "", undefined, error);
    } finally {
      this.#hold(false);
    }
  }

  /** A shell that waits for work does not keep this process from ending. */
  #hold(isHeld: boolean): void {
    for (const one of [this.#child, this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      const holder = one === this.#child || one instanceof Socket ? one : undefined;
      if (isHeld) holder?.ref();
      else holder?.unref();
    }
  }
}

/** The output of one program after another, each ended by a line that begins with its mark. */
class MarkedOutput {
  #text = "";
  #wanted: { readonly mark: string; readonly done: (found: { text: string; rest: string }) => void } | undefined;
  #fail: ((error: Error) => void) | undefined;

  constructor(stream: Readable) {
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      this.#text += chunk;
      this.#look();
    });
  }

  async until(mark: string): Promise<{ readonly text: string; readonly rest: string }> {
    return await new Promise((resolve, reject) => {
      this.#wanted = { mark, done: resolve };
      this.#fail = reject;
      this.#look();
    });
  }

  #look(): void {
    if (this.#wanted === undefined) return;
    const { mark, done } = this.#wanted;
    const at = this.#text.lastIndexOf(`\n${mark}`);
    if (at === -1 || !this.#text.endsWith("\n")) {
      if (this.#text.length > maxOutputBytes) this.#fail?.(new Error(`it printed more than ${maxOutputBytes} bytes`));
      return;
    }
    const found = { text: this.#text.slice(0, at), rest: this.#text.slice(at + 1 + mark.length).trim() };
    this.#text = "";
    this.#wanted = undefined;
    done(found);
  }
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}

function commandFailed(
  program: string,
  args: readonly string[],
  how: string,
  stderr: string,
  exitCode?: number,
  cause?: unknown,
): CommandError {
  const why = stderr.trim().slice(0, 4096);
  return new CommandError(`${program} ${args.join(" ").slice(0, 200)} ${how}${why === "" ? "" : `: ${why}`}`, {
    code: "CommandFailed",
    object: program,
    stderr: why,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(cause === undefined ? {} : { cause }),
  });
}
