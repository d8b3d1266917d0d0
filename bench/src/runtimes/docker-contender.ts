import { readFile } from "node:fs/promises";
import type { Docker, DockerRuntime } from "../docker.ts";
import type { Contender, Instance } from "./contender.ts";
import { privateBytesOf, processTree } from "./process-memory.ts";

const labels = { runc: "docker (runc)", runsc: "docker (gVisor)" } as const;

export function dockerContender(
  docker: Docker,
  runtime: DockerRuntime,
  images: { readonly start: string; readonly tools: string },
): Contender {
  const start: Contender["start"] = async (size, signal) =>
    await docker.start({ image: images.start, command: ["echo", "up"], runtime, signal, ...size });
  return {
    name: labels[runtime],
    prepare: async (size, signal) => await (await start(size, signal)).remove(),
    start,
    runOnce: async (size, signal) => {
      const limits = [`--cpus=${size.cpu}`, `--memory=${size.memoryMiB}m`];
      await docker.run(["run", "--rm", `--runtime=${runtime}`, ...limits, images.start, "true"], signal);
    },
    launch: async (size, signal) => {
      const limits = [`--cpus=${size.cpu}`, `--memory=${size.memoryMiB}m`];
      const answer = await docker.run(
        ["run", "--detach", `--runtime=${runtime}`, ...limits, images.tools, "sleep", "86400"],
        signal,
      );
      return await instanceOf(docker, runtime, answer.trim());
    },
  };
}

async function instanceOf(docker: Docker, runtime: DockerRuntime, id: string): Promise<Instance> {
  const address = await docker.run(["inspect", "--format", "{{.NetworkSettings.IPAddress}}", id]);
  return {
    address: address.trim(),
    exec: async (command, signal) => await docker.run(["exec", id, ...command], signal),
    memory: async () => {
      const shim = await shimPid(docker.pid, id);
      // Under runc the rest of the tree is the container itself. gVisor's sandbox holds the container's memory with its
      // own and tells them not apart: all of it is counted, in which a sleeping busybox has a tenth of a MiB.
      const pids = runtime === "runc" ? [shim] : await processTree(shim);
      return { overheadBytes: await privateBytesOf(pids), translationCacheBytes: undefined };
    },
    remove: async () => void (await docker.run(["rm", "--force", id])),
  };
}

/** The shim of a container, under which all its processes are. */
async function shimPid(enginePid: number, id: string): Promise<number> {
  for (const pid of await processTree(enginePid)) {
    const [program = "", ...args] = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (program.includes("containerd-shim") && args.includes(id)) return pid;
  }
  throw new Error(`container ${id} has no shim`);
}
