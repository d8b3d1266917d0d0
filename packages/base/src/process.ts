import { spawn } from "node:child_process";
import { IsopodError, systemErrorCode } from "./errors.ts";

export const commandErrorCodes = ["MissingProgram", "CommandFailed"] as const;
export type CommandErrorCode = (typeof commandErrorCodes)[number];

/** A program of the host that is missing or failed; `stderr` is its own explanation, at most 4 KiB. */
export class CommandError extends IsopodError<CommandErrorCode> {
  readonly stderr: string;
  readonly exitCode: number | undefined;
  constructor(
    message: string,
    details: {
      readonly code: CommandErrorCode;
      readonly object: string;
      readonly remedy?: string;
      readonly cause?: unknown;
      readonly stderr?: string;
      readonly exitCode?: number;
    },
  ) {
    super(message, details);
    this.stderr = details.stderr ?? "";
    this.exitCode = details.exitCode;
  }
}

/** The Debian package that has each program we call, for the error of a missing one. */
export const debianPackageOf: Readonly<Record<string, string>> = Object.freeze({
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  "mkfs.ext4": "e2fsprogs",
  "fsck.erofs": "erofs-utils",
  "mkfs.erofs": "erofs-utils",
  nft: "nftables",
  ip: "iproute2",
  zstd: "zstd",
  skopeo: "skopeo",
  "docker-registry": "docker-registry",
  sysctl: "procps",
});

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** Output beyond this many bytes is an error; default 64 MiB. */
  readonly maxOutputBytes?: number;
}

export interface CommandOutput {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program of the host to its end, without a shell.
 * Throws {@link CommandError}: `MissingProgram` names the Debian package that has it, `CommandFailed` carries its stderr.
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandOutput> {
  const maxOutputBytes = options.maxOutputBytes ?? 64 * 1024 * 1024;
  return await new Promise<CommandOutput>((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    // Without a free descriptor there are no streams, only the error below: it must find its listener.
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let sizeBytes = 0;
    child.on("error", (cause) => {
      if (systemErrorCode(cause) !== "ENOENT") return reject(cause);
      const debianPackage = debianPackageOf[program];
      reject(
        new CommandError(`the program ${program} is missing`, {
          code: "MissingProgram",
          object: program,
          remedy:
            debianPackage === undefined ? `Install ${program}.` : `Install it with: apt-get install ${debianPackage}`,
          cause,
        }),
      );
    });
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxOutputBytes) child.kill("SIGKILL");
      else into.push(chunk);
    };
    child.stdout?.on("data", collect(stdout));
    child.stderr?.on("data", collect(stderr));
    child.on("close", (exitCode, killedBy) => {
      const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (exitCode === 0) return resolve(output);
      const how = exitCode === null ? `was killed by ${killedBy}` : `ended with code ${exitCode}`;
      const why = output.stderr.trim().slice(0, 4096);
      reject(
        new CommandError(`${program} ${args.join(" ").slice(0, 200)} ${how}${why === "" ? "" : `: ${why}`}`, {
          code: "CommandFailed",
          object: program,
          stderr: why,
          ...(exitCode === null ? {} : { exitCode }),
        }),
      );
    });
    // A program that ends without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}
