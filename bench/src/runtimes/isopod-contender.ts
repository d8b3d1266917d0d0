import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { resources, startedFromAnnotation, startFromAnnotation } from "@isopod/api";
import type { Limits } from "../docker.ts";
import { type Installation, prepareTemplates } from "../installation.ts";
import { createInstance, removeInstance, startOnce, untilStarted } from "../isopod-start.ts";
import type { Contender, Instance } from "./contender.ts";
import { privateBytes, translationCacheBytes } from "./process-memory.ts";

export interface IsopodContenderOptions {
  readonly installation: Installation;
  /** What every start must have come from; a figure of another kind of start would be taken for this one. */
  readonly from: "cold" | "template";
  readonly images: { readonly start: string; readonly tools: string };
}

const labels = { template: "isopod (fork)", cold: "isopod (cold)" } as const;
/** How often a start may come from elsewhere before it counts: templates are made on first use. */
const preparationTries = 6;
const preparationMs = 3000;

let lastNumber = 0;

export function isopodContender({ installation, from, images }: IsopodContenderOptions): Contender {
  const { client } = installation;
  const annotations = from === "cold" ? { [startFromAnnotation]: "cold" } : undefined;
  const creation = (image: string, command: readonly string[], size: Limits, signal: AbortSignal) => ({
    name: `bench-${from}-${++lastNumber}`,
    image,
    command,
    cpu: size.cpu,
    memoryMiB: size.memoryMiB,
    signal,
    ...(annotations === undefined ? {} : { annotations }),
  });
  const start: Contender["start"] = async (size, signal) => {
    const options = creation(images.start, ["echo", "up"], size, signal);
    const remove = async (): Promise<void> => await removeInstance(client, options.name);
    try {
      const started = await startOnce(client, options);
      if (started.from !== from) throw new Error(`started from ${started.from} instead of ${from}`);
      return { ms: started.ms, remove };
    } catch (error) {
      await remove();
      throw error;
    }
  };
  return {
    name: labels[from],
    prepare: async (size, signal) => {
      for (let tried = 1; ; tried++) {
        try {
          if (from === "template") await prepareTemplates(installation, [size], signal);
          await (await start(size, signal)).remove();
          return;
        } catch (error) {
          signal.throwIfAborted();
          if (tried >= preparationTries) throw error;
          await new Promise((wait) => setTimeout(wait, preparationMs));
        }
      }
    },
    start,
    // The command has no option to ask for a cold start.
    ...(from === "cold"
      ? {}
      : {
          runOnce: async (size, signal) => {
            const limits = ["--cpu", String(size.cpu), "--memory", `${size.memoryMiB}Mi`];
            await installation.isopod(["run", "--rm", ...limits, images.start, "--", "true"], signal);
          },
        }),
    launch: async (size, signal) => {
      const options = creation(images.tools, ["sleep", "86400"], size, signal);
      try {
        return await launchInstance(installation, options, from);
      } catch (error) {
        await removeInstance(client, options.name);
        throw error;
      }
    },
  };
}

async function launchInstance(
  installation: Installation,
  options: Parameters<typeof createInstance>[1],
  from: IsopodContenderOptions["from"],
): Promise<Instance> {
  const { client, dataDirectory } = installation;
  const { name } = options;
  await untilStarted(client, await createInstance(client, options), options.signal);
  const { metadata, status } = await client.get(resources.pods, "default", name);
  const origin = metadata.annotations?.[startedFromAnnotation] ?? "cold";
  if (origin !== from) throw new Error(`started from ${origin} instead of ${from}`);
  if (status?.phase !== "Running") throw new Error(`${name} ended: ${status?.phase ?? "no status"}`);
  const exec: Instance["exec"] = async (command, signal) =>
    await installation.isopod(["exec", name, "--", ...command], signal);
  return {
    address: status.podIP ?? "",
    exec,
    memory: async (signal) => {
      const pid = await monitorPid(join(dataDirectory, "instances", metadata.uid ?? ""));
      const smaps = await readFile(`/proc/${pid}/smaps`, "utf8");
      // Asked only afterwards: the question itself runs code in the guest.
      const container = await exec(["cat", "/proc/1/smaps_rollup"], signal);
      return {
        overheadBytes: privateBytes(smaps) - privateBytes(container),
        translationCacheBytes: translationCacheBytes(smaps),
      };
    },
    remove: async () => await removeInstance(client, name),
  };
}

/** The one process that the host has for an instance. */
async function monitorPid(directory: string): Promise<number> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith("vm-")) continue;
    const text = await readFile(join(directory, name, "machine.json"), "utf8").catch(() => "{}");
    const { process: found } = JSON.parse(text) as { readonly process?: { readonly pid: number } };
    if (found !== undefined) return found.pid;
  }
  throw new Error(`no virtual machine is recorded in ${directory}`);
}
