import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { end } from "./installation.ts";

const run = promisify(execFile);

/** A Docker engine of the bench's own (Debian's docker.io), or undefined where none is installed. */
export interface Docker extends AsyncDisposable {
  readonly version: string;
  readonly socket: string;
  run(args: readonly string[]): Promise<string>;
  /** Create, attach and start through the Engine API; resolves with the milliseconds until the first byte of output. */
  startMs(
    image: string,
    command: readonly string[],
    limits: { readonly cpu: number; readonly memoryMiB: number },
  ): Promise<number>;
}

export async function startDocker(image: string): Promise<Docker | undefined> {
  const hasEngine = await run("sh", ["-c", "command -v dockerd"]).then(
    () => true,
    () => false,
  );
  if (!hasEngine) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-docker-"));
  const socket = join(directory, "docker.sock");
  const engine = spawn(
    "dockerd",
    [
      `--host=unix://${socket}`,
      `--data-root=${directory}/data`,
      `--exec-root=${directory}/exec`,
      `--pidfile=${directory}/pid`,
      "--storage-driver=overlay2",
      "--insecure-registry=127.0.0.0/8",
    ],
    { stdio: "ignore" },
  );
  const docker = async (args: readonly string[]): Promise<string> =>
    (await run("docker", [`--host=unix://${socket}`, ...args])).stdout;
  const dispose = async (): Promise<void> => {
    await end(engine);
    await run("umount", ["-R", join(directory, "exec")]).catch(() => {});
    await run("umount", ["-R", join(directory, "data")]).catch(() => {});
    await rm(directory, { recursive: true, force: true });
  };
  try {
    let version = "";
    for (let tried = 0; version === ""; tried++) {
      if (engine.exitCode !== null || tried > 300) throw new Error("dockerd did not come up");
      version = await docker(["version", "--format", "{{.Server.Version}}"]).then(
        (text) => text.trim(),
        () => "",
      );
      if (version === "") await new Promise((wait) => setTimeout(wait, 100));
    }
    await docker(["pull", "--quiet", image]);
    return {
      version,
      socket,
      run: docker,
      startMs: async (name, command, limits) => await measure(socket, name, command, limits),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function measure(
  socketPath: string,
  image: string,
  command: readonly string[],
  limits: { readonly cpu: number; readonly memoryMiB: number },
): Promise<number> {
  const call = async (method: string, path: string, body?: object): Promise<string> =>
    await new Promise((resolve, reject) => {
      const sent = request({ socketPath, method, path, headers: { "content-type": "application/json" } }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
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
      Image: image,
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
      HostConfig: { NanoCpus: limits.cpu * 1e9, Memory: limits.memoryMiB * 1024 * 1024 },
    }),
  ) as { Id: string };
  // Attached before it starts: what it writes must not be missed.
  const first = Promise.withResolvers<number>();
  await new Promise<void>((attached, reject) => {
    const path = `/containers/${created.Id}/attach?stream=1&stdout=1&stderr=1`;
    const sent = request({ socketPath, method: "POST", path, headers: { Connection: "Upgrade", Upgrade: "tcp" } });
    sent.on("upgrade", (_answer, socket) => {
      socket.once("data", () => first.resolve(performance.now() - began));
      socket.once("close", () => first.reject(new Error(`${created.Id} wrote nothing`)));
      attached();
    });
    sent.on("error", reject);
    sent.end();
  });
  await call("POST", `/containers/${created.Id}/start`);
  const elapsedMs = await first.promise;
  await call("POST", `/containers/${created.Id}/wait`);
  await call("DELETE", `/containers/${created.Id}?force=true`);
  return elapsedMs;
}
