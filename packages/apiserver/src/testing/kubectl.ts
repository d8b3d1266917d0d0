import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestServer } from "./test-server.ts";

const run = promisify(execFile);
const fetcher = join(import.meta.dirname, "../../../../scripts/kubectl");

/** The versions the tests run: the newest, and the last that lists and watches instead of WatchList. */
export const kubectlVersions = ["1.35", "1.32"] as const;
/** Reads /openapi/v2 before it writes, and speaks SPDY where newer ones speak WebSocket. */
export const oldestKubectlVersion = "1.28";
export type KubectlVersion = (typeof kubectlVersions)[number] | typeof oldestKubectlVersion;

export interface KubectlOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A real kubectl against the test server, with a home of its own for its caches. */
export class Kubectl {
  readonly #binary: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(binary: string, env: NodeJS.ProcessEnv) {
    this.#binary = binary;
    this.#env = env;
  }

  static async open(version: KubectlVersion, test: TestServer): Promise<Kubectl> {
    const { stdout } = await run(fetcher, [version]);
    const home = join(test.directory, `home-${version}`);
    return new Kubectl(stdout.trim(), { PATH: process.env["PATH"], HOME: home, KUBECONFIG: test.kubeconfig });
  }

  /** Runs to the end; `input` goes to its standard input. */
  async outcome(args: readonly string[], input = ""): Promise<KubectlOutcome> {
    const child = spawn(this.#binary, args, { env: this.#env, stdio: ["pipe", "pipe", "pipe"], timeout: 120_000 });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const code = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)));
    const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
    return { code: await code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  }

  /** Runs to success and returns what it printed. */
  async run(args: readonly string[], input = ""): Promise<string> {
    const { code, stdout, stderr } = await this.outcome(args, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** Runs until `until` holds for what it has printed, then stops it. */
  async readUntil(
    args: readonly string[],
    until: (stdout: string) => boolean,
    onStart?: () => Promise<unknown>,
  ): Promise<string> {
    const child = spawn(this.#binary, args, { env: this.#env, stdio: ["ignore", "pipe", "inherit"], timeout: 120_000 });
    let stdout = "";
    let started = onStart;
    for await (const chunk of child.stdout) {
      stdout += String(chunk);
      // It is connected once it has printed something.
      await started?.();
      started = undefined;
      if (until(stdout)) child.kill();
    }
    return stdout;
  }
}
