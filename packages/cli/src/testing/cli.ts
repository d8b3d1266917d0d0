import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import type { ClientConfig } from "@isopod/client";

const isopod = resolve(import.meta.dirname, "../../../../bin/isopod");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** The real command, for one API server and nothing else. */
export class Cli implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #kubeconfig: string;

  private constructor(directory: TemporaryDirectory, kubeconfig: string) {
    this.#directory = directory;
    this.#kubeconfig = kubeconfig;
  }

  static async of(config: ClientConfig): Promise<Cli> {
    const directory = await temporaryDirectory("isopod-cli-");
    const path = join(directory.path, "kubeconfig");
    const authority = Buffer.from(config.caPem).toString("base64");
    const kubeconfig = {
      "current-context": "x",
      contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
      clusters: [{ name: "x", cluster: { server: config.server, "certificate-authority-data": authority } }],
      users: [{ name: "x", user: { token: config.token ?? "" } }],
    };
    await writeFile(path, JSON.stringify(kubeconfig), { mode: 0o600 });
    return new Cli(directory, path);
  }

  async run(...args: readonly string[]): Promise<Ended> {
    return await this.start(...args).ended;
  }

  /** For commands that are interrupted. */
  start(...args: readonly string[]): Started {
    const { ISOPOD_DATA_DIR: _directory, ...env } = process.env;
    const child = spawn(isopod, [...args], {
      env: { ...env, KUBECONFIG: this.#kubeconfig },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const finish = async (): Promise<Ended> => {
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
      return { code: child.exitCode, stdout, stderr };
    };
    return { child, ended: finish() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
  }
}
