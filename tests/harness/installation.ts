import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound, type Pod, resources } from "@isopod/api";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { Informer, KubeClient, loadKubeconfig } from "@isopod/client";
import { servicePaths } from "@isopod/service";
import { eventually } from "./eventually.ts";
import { leftovers, repositoryRoot } from "./leftovers.ts";
import { mustRun, type Outcome, type ProgramOptions, runProgram } from "./program.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";

export interface InstallationOptions {
  /** More flags for `isopod up`. */
  readonly upArguments?: readonly string[];
  /** More environment for the service. */
  readonly env?: NodeJS.ProcessEnv;
  /** Puts the data directory on a file system of its own, of this size. */
  readonly tmpfsMiB?: number;
}

/**
 * A whole installation of a test's own, in processes of its own: `isopod up` in a temporary directory on free ports,
 * and a registry that holds the busybox image. {@link stop} removes every instance, ends everything, and fails if
 * anything is left on the host.
 */
export class Installation {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly registry: TestRegistry;
  readonly client: KubeClient;
  readonly #options: InstallationOptions;
  readonly #podUIDs = new Set<string>();
  readonly #watching = new AbortController();
  readonly #cleanUps: (() => Promise<unknown>)[] = [];
  #kubectl: string | undefined;

  private constructor(directory: string, registry: TestRegistry, client: KubeClient, options: InstallationOptions) {
    this.directory = directory;
    this.dataDirectory = join(directory, "data");
    this.registry = registry;
    this.client = client;
    this.#options = options;
    const pods = new Informer(resources.pods, { client, clock: systemClock, logger: silentLogger });
    pods.onChange((_key, pod) => {
      if (pod?.metadata.uid !== undefined) this.#podUIDs.add(pod.metadata.uid);
    });
    const running = pods.run(this.#watching.signal);
    this.#cleanUps.push(async () => {
      this.#watching.abort();
      await running;
    });
  }

  static async start(options: InstallationOptions = {}): Promise<Installation> {
    const directory = await temporaryDirectory("isopod-e2e-");
    let registry: TestRegistry | undefined;
    try {
      registry = await startRegistry(directory.path);
      const dataDirectory = join(directory.path, "data");
      await mkdir(dataDirectory, { mode: 0o711 });
      if (options.tmpfsMiB !== undefined) {
        await mustRun("mount", ["-t", "tmpfs", "-o", `size=${options.tmpfsMiB}m,mode=711`, "tmpfs", dataDirectory]);
      }
      await up(dataDirectory, options);
      const client = new KubeClient(await loadKubeconfig(servicePaths(dataDirectory).kubeconfig));
      const installation = new Installation(directory.path, registry, client, options);
      installation.#cleanUps.unshift(
        async () => await directory[Symbol.asyncDispose](),
        async () => await registry?.[Symbol.asyncDispose](),
        async () => client[Symbol.dispose](),
      );
      return installation;
    } catch (error) {
      await endService(join(directory.path, "data"));
      await registry?.[Symbol.asyncDispose]();
      await runProgram("umount", [join(directory.path, "data")]);
      await directory[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The busybox image. */
  get image(): string {
    return this.registry.image;
  }

  /** Starts the service again after {@link killService} or `isopod down`, on the same ports. */
  async up(): Promise<void> {
    const { hostname, port } = new URL(await this.#serverUrl());
    await up(this.dataDirectory, this.#options, ["--host", hostname, "--port", port]);
  }

  /** `kill -9` of the whole service. */
  async killService(): Promise<void> {
    const pid = await this.servicePid();
    process.kill(pid, "SIGKILL");
    await eventually("the service is dead", () => !isAlive(pid));
  }

  async servicePid(): Promise<number> {
    const ready = JSON.parse(await readFile(servicePaths(this.dataDirectory).ready, "utf8")) as { pid: number };
    return ready.pid;
  }

  /** Process id of the VM of a pod. */
  async vmPid(podUID: string): Promise<number> {
    const { instances } = servicePaths(this.dataDirectory);
    for (const name of await readdir(join(instances, podUID))) {
      if (!name.startsWith("vm-")) continue;
      const text = await readFile(join(instances, podUID, name, "machine.json"), "utf8").catch(() => "{}");
      const { process: found } = JSON.parse(text) as { process?: { pid: number } };
      if (found !== undefined) return found.pid;
    }
    throw new Error(`pod ${podUID} has no virtual machine`);
  }

  /** Runs the CLI as a user would. */
  async isopod(args: readonly string[], options: ProgramOptions = {}): Promise<Outcome> {
    return await runProgram(join(repositoryRoot, "bin/isopod"), args, { ...options, env: this.env(options.env) });
  }

  /** A CLI process whose output and input a test handles itself. */
  spawnIsopod(args: readonly string[]): ChildProcessWithoutNullStreams {
    const child = spawn(join(repositoryRoot, "bin/isopod"), [...args], { env: this.env(), stdio: "pipe" });
    child.stdin.on("error", () => {});
    return child;
  }

  /** Runs the real kubectl 1.35. */
  async kubectl(args: readonly string[], options: ProgramOptions = {}): Promise<Outcome> {
    this.#kubectl ??= (await mustRun(join(repositoryRoot, "scripts/kubectl"), ["1.35"])).trim();
    const env = {
      PATH: process.env["PATH"],
      HOME: this.directory,
      KUBECONFIG: servicePaths(this.dataDirectory).kubeconfig,
    };
    return await runProgram(this.#kubectl, args, { ...options, env });
  }

  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { ...process.env, ISOPOD_DATA_DIR: this.dataDirectory, KUBECONFIG: "", ...more };
  }

  /** Lines of the service's log at `level` or above (40 = warning), parsed. */
  async serviceLog(level = 0): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const text = await readFile(servicePaths(this.dataDirectory).log, "utf8");
    return text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => Number(line["level"]) >= level);
  }

  /** Undone at {@link stop}, before the service ends. */
  onStop(cleanUp: () => Promise<unknown>): void {
    this.#cleanUps.push(cleanUp);
  }

  async stop(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (action: () => Promise<unknown>): Promise<void> => {
      try {
        await action();
      } catch (error) {
        failures.push(error);
      }
    };
    await attempt(async () => await this.#removeAll());
    await attempt(async () => assert.equal((await this.isopod(["down"])).exitCode, 0, "isopod down"));
    // What such a part leaves behind need not name this installation.
    await attempt(async () => {
      const unclean = (await this.serviceLog(40)).filter((line) => line["msg"] === "a part did not stop cleanly");
      assert.deepEqual(unclean, []);
    });
    if (this.#options.tmpfsMiB !== undefined) {
      await attempt(async () => await mustRun("umount", [this.dataDirectory]));
    }
    await attempt(async () => {
      let left: readonly string[] = [];
      await eventually(
        "nothing is left on the host",
        async () => {
          left = await leftovers(this.directory, this.dataDirectory, this.#podUIDs);
          return left.length === 0;
        },
        () => left,
      );
    });
    for (const cleanUp of this.#cleanUps.toReversed()) await attempt(cleanUp);
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("\n"));
  }

  async #removeAll(): Promise<void> {
    const { items } = await this.client.list(resources.pods);
    const remove = async (pod: Pod): Promise<void> => {
      await this.client
        .delete(resources.pods, pod.metadata.namespace, pod.metadata.name, { body: { gracePeriodSeconds: 1 } })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    };
    await Promise.all(items.map(remove));
    let left: readonly string[] = [];
    await eventually(
      "every pod is gone",
      async () => {
        left = (await this.client.list(resources.pods)).items.map((pod) => pod.metadata.name);
        return left.length === 0;
      },
      () => left,
    );
  }

  async #serverUrl(): Promise<string> {
    return (await loadKubeconfig(servicePaths(this.dataDirectory).kubeconfig)).server;
  }
}

async function up(
  dataDirectory: string,
  options: InstallationOptions,
  where: readonly string[] = ["--port", "0"],
): Promise<void> {
  // The probe for KVM has tests of its own and takes seconds.
  const accelerator = process.env["ISOPOD_TEST_ACCELERATOR"] ?? "tcg";
  const args = ["up", "-d", "--kubelet-port", "0", "--accelerator", accelerator, ...where];
  await mustRun(join(repositoryRoot, "bin/isopod"), [...args, ...(options.upArguments ?? [])], {
    env: { ...process.env, KUBECONFIG: "", ...options.env, ISOPOD_DATA_DIR: dataDirectory },
  });
}

/** Ends the service of a data directory, also one that has not become ready. */
async function endService(dataDirectory: string): Promise<void> {
  await runProgram(join(repositoryRoot, "bin/isopod"), ["down", "--data-dir", dataDirectory]);
  // `isopod down` knows none before it is ready, and `isopod up -d` leaves it behind when it is killed itself.
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number)) {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (!environment.split("\0").includes(`ISOPOD_DATA_DIR=${dataDirectory}`)) continue;
    if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await eventually(`process ${pid} is dead`, () => !isAlive(pid));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
