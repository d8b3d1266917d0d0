import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { writeBusyboxImage } from "../../scripts/busybox-image.ts";
import { eventually } from "./eventually.ts";
import { mustRun } from "./program.ts";

/** A real registry on loopback that holds the busybox image. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** The busybox image. */
  readonly image: string;
  /** An OCI layout of that image, tagged `latest`. */
  readonly layoutDirectory: string;
  /** Pushes an OCI layout (its tag `latest`) as `name`, as in `app:1`; returns the whole reference. */
  push(layoutDirectory: string, name: string): Promise<string>;
  /** The file in which the registry keeps a blob. */
  blobPath(digest: string): string;
  /** The manifest of an image of this registry. */
  manifest(name: string, tag: string): Promise<{ digest: string; layers: readonly { digest: string; size: number }[] }>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    (answer) => answer.ok,
    () => false,
  );
}

/** Files go below `directory`. */
export async function startRegistry(directory: string): Promise<TestRegistry> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const storage = join(directory, "registry");
  const configuration = join(directory, "registry.yml");
  await writeFile(
    configuration,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${storage}}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", configuration], { stdio: "ignore" });
  try {
    await eventually("the registry answers", async () => {
      if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
      return await answers(`http://${host}/v2/`);
    });
    const layoutDirectory = join(directory, "busybox-layout");
    await writeBusyboxImage(layoutDirectory);
    const push = async (layout: string, name: string): Promise<string> => {
      const reference = `${host}/${name}`;
      await mustRun("skopeo", [
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        `oci:${layout}:latest`,
        `docker://${reference}`,
      ]);
      return reference;
    };
    return {
      host,
      image: await push(layoutDirectory, "busybox:1"),
      layoutDirectory,
      push,
      blobPath: (digest) => {
        const hex = digest.replace("sha256:", "");
        return join(storage, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
      },
      manifest: async (name, tag) => {
        const answer = await fetch(`http://${host}/v2/${name}/manifests/${tag}`, {
          headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
        });
        const { layers } = (await answer.json()) as { layers: { digest: string; size: number }[] };
        return { digest: answer.headers.get("docker-content-digest") ?? "", layers };
      },
      [Symbol.asyncDispose]: async () => await end(child),
    };
  } catch (error) {
    await end(child);
    throw error;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}
