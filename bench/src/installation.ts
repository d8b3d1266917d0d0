import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadKubeconfig, KubeClient } from "@isopod/client";
import type { Limits } from "./docker.ts";
import { run } from "./program.ts";

export const repositoryRoot = resolve(import.meta.dirname, "../..");

/** A whole installation of our own in a temporary directory. */
export interface Installation extends AsyncDisposable {
  readonly dataDirectory: string;
  readonly client: KubeClient;
  isopod(args: readonly string[], signal?: AbortSignal): Promise<string>;
}

/** A registry on loopback that holds the bench's images. */
export interface Registry extends AsyncDisposable {
  /** `HOST:PORT` */
  readonly host: string;
  /** Copies an image from an OCI layout; gives the reference it can be pulled by. */
  push(layout: string, name: string): Promise<string>;
}

async function freePort(): Promise<number> {
  return await new Promise((done, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function untilAnswers(url: string, process: ChildProcess, name: string): Promise<void> {
  for (let tried = 0; tried < 300; tried++) {
    if (process.exitCode !== null) throw new Error(`${name} ended with code ${process.exitCode}`);
    const isUp = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return;
    await new Promise((wait) => setTimeout(wait, 100));
  }
  throw new Error(`${name} did not answer at ${url} within 30 s`);
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = new Promise<void>((done) => process.once("exit", () => done()));
  process.kill("SIGTERM");
  await gone;
}

export async function startRegistry(): Promise<Registry> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-registry-"));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  await writeFile(
    join(directory, "registry.yml"),
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/registry}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  );
  // In a session of its own, out of reach of a terminal's Ctrl-C: it ends when it is disposed of.
  const registry = spawn("docker-registry", ["serve", join(directory, "registry.yml")], {
    stdio: "ignore",
    detached: true,
  });
  registry.once("error", () => {});
  undo.defer(async () => await end(registry));
  await untilAnswers(`http://127.0.0.1:${port}/v2/`, registry, "docker-registry");
  const owned = undo.move();
  return {
    host: `127.0.0.1:${port}`,
    push: async (layout, name) => {
      const reference = `127.0.0.1:${port}/${name}`;
      await run("skopeo", [
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        `oci:${layout}:latest`,
        `docker://${reference}`,
      ]);
      return reference;
    },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** Writes the busybox image that every bench starts, as an OCI layout. */
export async function writeBusyboxLayout(directory: string): Promise<void> {
  await run(process.execPath, [join(repositoryRoot, "scripts/busybox-image.ts"), directory]);
}

export async function startInstallation(upArguments: readonly string[] = []): Promise<Installation> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-"));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  const dataDirectory = join(directory, "data");
  const env = { ...process.env, ISOPOD_DATA_DIR: dataDirectory, KUBECONFIG: "" };
  const isopod = async (args: readonly string[], signal?: AbortSignal): Promise<string> =>
    await run(join(repositoryRoot, "bin", "isopod"), args, { env, ...(signal === undefined ? {} : { signal }) });
  undo.defer(async () => {
    // Whatever has become of the command since, the service must not stay behind.
    const { pid } = JSON.parse(await readFile(join(dataDirectory, "ready.json"), "utf8").catch(() => "{}")) as {
      readonly pid?: number;
    };
    await isopod(["down"]).catch((error: unknown) => {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
      throw error;
    });
  });
  await isopod(["up", "-d", "--port", "0", "--kubelet-port", "0", ...upArguments]);
  undo.defer(async () => await removeAll(isopod));
  const client = undo.use(new KubeClient(await loadKubeconfig(join(dataDirectory, "kubeconfig"))));
  const owned = undo.move();
  return { dataDirectory, client, isopod, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** Makes ready what instances of these sizes are started from, as an operator would ahead of time. */
export async function prepareTemplates(
  { isopod }: Installation,
  sizes: readonly Limits[],
  signal: AbortSignal,
): Promise<void> {
  const words = sizes.map(({ cpu, memoryMiB }) => `${cpu}x${memoryMiB}Mi`);
  await isopod(["template", "build", ...words], signal);
}

/** Twice at least: what was interrupted may have asked for another instance a moment before. */
async function removeAll(isopod: Installation["isopod"]): Promise<void> {
  for (let isFirst = true; ; isFirst = false) {
    const pods = JSON.parse(await isopod(["ps", "--all", "--output", "json"])) as { metadata: { name: string } }[];
    if (pods.length > 0) await isopod(["rm", "--force", ...pods.map((one) => one.metadata.name)]).catch(() => {});
    else if (!isFirst) return;
  }
}
