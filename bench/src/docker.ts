import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, open, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { isInstalled, run } from "./program.ts";

export type DockerRuntime = "runc" | "runsc";

export interface Limits {
  readonly cpu: number;
  readonly memoryMiB: number;
}

/** A Docker engine of the bench's own (Debian's docker.io), in namespaces of its own; see `docker-engine`. */
export interface Docker extends AsyncDisposable {
  readonly version: string;
  /** Process under which, as the host sees it, everything of the engine and its containers runs. */
  readonly pid: number;
  /** The `docker` command. */
  run(args: readonly string[], signal?: AbortSignal): Promise<string>;
  /** Loads the image of an OCI layout under a reference. */
  load(layout: string, reference: string): Promise<void>;
  /** Creates, attaches to and starts a container through the Engine API. */
  start(options: DockerStart): Promise<StartedContainer>;
}

export interface DockerStart extends Limits {
  readonly image: string;
  readonly command: readonly string[];
  readonly runtime: DockerRuntime;
  readonly signal: AbortSignal;
}

export interface StartedContainer {
  /** From the request to the first byte of output. */
  readonly ms: number;
  remove(): Promise<void>;
}

/** Undefined where no Docker engine is installed. */
export async function startDocker(): Promise<Docker | undefined> {
  if (!(await isInstalled("dockerd"))) return undefined;
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-docker-"));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  const cgroup = `/${basename(directory)}`;
  undo.defer(async () => await removeCgroups(cgroup));
  const settings = {
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    // Raw sockets, which runc's containers have too, for ping. Its default queue discipline, `fifo`, lets half a megabit
    // per second through on Linux 6.18; without it, it is 400.
    runtimes: { runsc: { path: "runsc", runtimeArgs: ["--net-raw", "--qdisc=none"] } },
  };
  await writeFile(join(directory, "daemon.json"), JSON.stringify(settings));
  const log = await open(join(directory, "log"), "w");
  const engine = spawn(
    "unshare",
    "--fork --pid --kill-child --mount --net"
      .split(" ")
      .concat(join(import.meta.dirname, "docker-engine"), directory, cgroup),
    // Out of reach of a terminal's Ctrl-C: containers are removed first.
    { stdio: ["pipe", log.fd, log.fd], detached: true },
  );
  await log.close();
  engine.once("error", () => {});
  undo.defer(async () => await endEngine(engine));
  const socket = join(directory, "docker.sock");
  const docker = async (args: readonly string[], signal?: AbortSignal): Promise<string> =>
    await run("docker", [`--host=unix://${socket}`, ...args], signal === undefined ? {} : { signal });
  const version = await untilUp(engine, docker).catch(async (error: unknown) => {
    const text = await readFile(join(directory, "log"), "utf8");
    throw new Error(`dockerd did not come up: ${text.trim().split("\n").slice(-3).join("; ")}`, { cause: error });
  });
  undo.defer(async () => {
    const ids = (await docker(["ps", "--all", "--quiet"])).split("\n").filter((id) => id !== "");
    if (ids.length > 0) await docker(["rm", "--force", ...ids]);
  });
  const owned = undo.move();
  return {
    version,
    pid: engine.pid ?? 0,
    run: docker,
    load: async (layout, reference) => {
      const archive = join(directory, "image.tar");
      await run("skopeo", ["copy", "--quiet", `oci:${layout}:latest`, `docker-archive:${archive}:${reference}`]);
      await docker(["load", "--quiet", "--input", archive]);
      await rm(archive);
    },
    start: async (options) => await startContainer(socket, options),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

async function untilUp(engine: ChildProcess, docker: (args: readonly string[]) => Promise<string>): Promise<string> {
  for (let tried = 0; ; tried++) {
    if (engine.exitCode !== null || tried > 300) throw new Error("no answer");
    const version = await docker(["version", "--format", "{{.Server.Version}}"]).catch(() => "");
    if (version.trim() !== "") return version.trim();
    await new Promise((wait) => setTimeout(wait, 100));
  }
}

async function endEngine(engine: ChildProcess): Promise<void> {
  if (engine.exitCode !== null || engine.signalCode !== null) return;
  const gone = new Promise<void>((done) => engine.once("exit", () => done()));
  engine.stdin?.end();
  const impatient = setTimeout(() => engine.kill("SIGKILL"), 30_000);
  await gone;
  clearTimeout(impatient);
}

/** Docker leaves its own group behind in each hierarchy. */
async function removeCgroups(cgroup: string): Promise<void> {
  const root = "/sys/fs/cgroup";
  const removeTree = async (directory: string): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
    await rmdir(directory).catch(() => {});
  };
  for (const hierarchy of ["", ...(await readdir(root))]) await removeTree(join(root, hierarchy, cgroup));
}

async function startContainer(socketPath: string, options: DockerStart): Promise<StartedContainer> {
  const { signal } = options;
  const call = async (method: string, path: string, body?: object): Promise<string> =>
    await new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json" };
      const sent = request({ socketPath, method, path, headers, signal }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          if ((answer.statusCode ?? 500) < 400) resolve(text);
          else reject(new Error(`${method} ${path}: ${text}`));
        });
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const began = performance.now();
  const created = JSON.parse(
    await call("POST", "/containers/create", {
      Image: options.image,
      Cmd: options.command,
      AttachStdout: true,
      AttachStderr: true,
      HostConfig: {
        Runtime: options.runtime,
        NanoCpus: options.cpu * 1e9,
        Memory: options.memoryMiB * 1024 * 1024,
      },
    }),
  ) as { Id: string };
  // Attached before it starts: what it writes must not be missed.
  const first = Promise.withResolvers<number>();
  first.promise.catch(() => {});
  await new Promise<void>((attached, reject) => {
    const path = `/containers/${created.Id}/attach?stream=1&stdout=1&stderr=1`;
    const headers = { Connection: "Upgrade", Upgrade: "tcp" };
    const sent = request({ socketPath, method: "POST", path, headers, signal });
    sent.on("upgrade", (_answer, socket) => {
      socket.once("data", () => first.resolve(performance.now() - began));
      socket.once("error", first.reject);
      socket.once("close", () => first.reject(new Error(`${created.Id} wrote nothing`)));
      attached();
    });
    sent.on("error", reject);
    sent.end();
  });
  await call("POST", `/containers/${created.Id}/start`);
  return {
    ms: await first.promise,
    remove: async () => {
      await call("POST", `/containers/${created.Id}/wait`);
      await call("DELETE", `/containers/${created.Id}?force=true`);
    },
  };
}
