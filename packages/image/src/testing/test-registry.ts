import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { temporaryDirectory } from "@isopod/base";

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** Where it keeps its files. */
  readonly directory: string;
}

/** The Docker registry of Debian on a free port of loopback. `htpasswd` turns Basic authentication on. */
export async function startRegistry(options: { readonly htpasswd?: string } = {}): Promise<TestRegistry> {
  const directory = await temporaryDirectory("isopod-registry-");
  const port = await freePort();
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${directory.path}/data}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"}`,
  ];
  if (options.htpasswd !== undefined) {
    await writeFile(join(directory.path, "htpasswd"), options.htpasswd);
    lines.push(`auth: {htpasswd: {realm: test, path: ${directory.path}/htpasswd}}`);
  }
  const config = join(directory.path, "config.yml");
  await writeFile(config, lines.join("\n"));
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const exited = once(child, "exit");
  const host = `127.0.0.1:${port}`;
  await waitUntilUp(host);
  return {
    host,
    directory: directory.path,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function waitUntilUp(host: string): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    const status = await fetch(`http://${host}/v2/`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200 || status === 401) return;
    if (performance.now() > deadlineMs) throw new Error(`the registry at ${host} did not come up in 30 s`);
    await delay(50);
  }
}
