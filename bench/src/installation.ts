import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { loadKubeconfig, KubeClient } from "@isopod/client";

export const repositoryRoot = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

/** A whole installation of our own in a temporary directory, with a registry that holds the bench's image. */
export interface Installation extends AsyncDisposable {
  readonly dataDirectory: string;
  readonly client: KubeClient;
  readonly image: string;
  readonly registryPort: number;
  isopod(args: readonly string[]): Promise<string>;
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

export async function untilAnswers(url: string, process: ChildProcess, name: string): Promise<void> {
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

export async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = new Promise<void>((done) => process.once("exit", () => done()));
  process.kill("SIGTERM");
  await gone;
}

export async function startInstallation(): Promise<Installation> {
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-"));
  const dataDirectory = join(directory, "data");
  const isopod = async (args: readonly string[]): Promise<string> => {
    const { stdout } = await run(join(repositoryRoot, "bin", "isopod"), [...args], {
      env: { ...process.env, ISOPOD_DATA_DIR: dataDirectory, KUBECONFIG: "" },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  };
  const registryPort = await freePort();
  await writeFile(
    join(directory, "registry.yml"),
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/registry}}\nhttp: {addr: "127.0.0.1:${registryPort}"}\n`,
  );
  const registry = spawn("docker-registry", ["serve", join(directory, "registry.yml")], { stdio: "ignore" });
  await untilAnswers(`http://127.0.0.1:${registryPort}/v2/`, registry, "docker-registry");
  const layout = join(directory, "layout");
  await run(process.execPath, [join(repositoryRoot, "scripts/busybox-image.ts"), layout]);
  const image = `127.0.0.1:${registryPort}/busybox:1`;
  await run("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:latest`, `docker://${image}`]);
  await isopod(["up", "-d", "--port", "0", "--kubelet-port", "0"]);
  const client = new KubeClient(await loadKubeconfig(join(dataDirectory, "kubeconfig")));
  return {
    dataDirectory,
    client,
    image,
    registryPort,
    isopod,
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]();
      const names = (await isopod(["ps", "--all", "--output", "json"]).then(JSON.parse)) as {
        metadata: { name: string };
      }[];
      if (names.length > 0) await isopod(["rm", "--force", ...names.map((one) => one.metadata.name)]);
      await isopod(["down"]);
      await end(registry);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
