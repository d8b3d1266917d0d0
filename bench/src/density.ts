import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resources } from "@isopod/api";
import type { KubeClient } from "@isopod/client";
import {
  type Installation,
  repositoryRoot,
  startInstallation,
  startRegistry,
  writeBusyboxLayout,
} from "./installation.ts";
import { createInstance, untilStarted } from "./isopod-start.ts";
import type { BenchOptions } from "./options.ts";
import { ProgramError, run } from "./program.ts";
import { report, type Series } from "./report.ts";
import { privateBytes, translationCacheBytes } from "./runtimes/process-memory.ts";

const size = { cpu: 0.1, memoryMiB: 128 } as const;
/** What 200 of them need on a host of 24 GiB and two cores: 20 vCPUs, and 54 GiB when every guest touched all it has. */
const settings = { cpuOvercommit: 20, memoryOvercommit: 4, maxPods: 1000 } as const;
/** Until the last start's work is done. */
const settleMs = 10_000;
/** Over which idle instances' use of CPU is counted. */
const idleMs = 20_000;
/** Commands of the CLI at once: each is a process of its own. */
const atOnce = 4;
const mebibyte = 1024 * 1024;

/** `density`: many idle instances at once, started, listed, exec'd into and removed; `--rounds` is how many. */
export async function benchDensity({ json, rounds: count, signal }: BenchOptions): Promise<void> {
  const layout = await mkdtemp(join(tmpdir(), "isopod-bench-layout-"));
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => await rm(layout, { recursive: true, force: true }));
  const snapshot = join(layout, "before");
  await run(join(repositoryRoot, "scripts/reaper-check"), ["--before", snapshot]);
  const series: Series[] = [];
  const add = (what: string, unit: string, values: readonly number[]): void => {
    series.push({ what, unit, values });
    console.error(`${what}: ${Math.max(...values).toFixed(1)} ${unit} at most, n = ${values.length}`);
  };
  await measure(join(layout, "oci"), count, add, signal);
  const facts = [
    `${count} instances of ${size.cpu} vCPU, ${size.memoryMiB} MiB, idle`,
    `cpuOvercommit ${settings.cpuOvercommit}, memoryOvercommit ${settings.memoryOvercommit}, maxPods ${settings.maxPods}`,
  ].join("; ");
  await report("density", facts, series, [], json);
  const left = await run(join(repositoryRoot, "scripts/reaper-check"), ["--since", snapshot]).catch(
    (error: unknown) => {
      if (!(error instanceof ProgramError)) throw error;
      process.exitCode = 1;
      return error.stdout;
    },
  );
  console.log(left.trim());
}

async function measure(
  layout: string,
  count: number,
  add: (what: string, unit: string, values: readonly number[]) => void,
  signal: AbortSignal,
): Promise<void> {
  await using registry = await startRegistry();
  await writeBusyboxLayout(layout);
  const image = await registry.push(layout, "busybox:1");
  const flags = {
    "--cpu-overcommit": settings.cpuOvercommit,
    "--memory-overcommit": settings.memoryOvercommit,
    "--max-pods": settings.maxPods,
  };
  await using installation = await startInstallation(Object.entries(flags).flat().map(String));
  const { client } = installation;
  await installation.isopod(["image", "pull", image]);
  await installation.isopod(["template", "build", "0.1x128Mi"]);
  const availableBefore = await availableMiB();
  const names = Array.from({ length: count }, (_, index) => `idle-${index}`);

  const began = performance.now();
  const startMs = await Promise.all(names.map(async (name) => await start(client, image, name, signal)));
  add("all started", "s", [(performance.now() - began) / 1000]);
  add("API request to running, all asked for at once", "ms", startMs);
  await pause(settleMs, signal);

  const listed = performance.now();
  const list = JSON.parse(await installation.isopod(["ps", "--output", "json"], signal)) as readonly unknown[];
  add("isopod ps", "ms", [performance.now() - listed]);
  if (list.length !== count) throw new Error(`${list.length} of ${count} instances are listed`);

  await measureIdle(installation, count, add, signal);
  add("host memory per instance, by MemAvailable", "MiB", [(availableBefore - (await availableMiB())) / count]);

  const execMs = await inTurns(names, async (name) => {
    const from = performance.now();
    const answer = await installation.isopod(["exec", name, "--", "hostname"], signal);
    if (answer.trim() !== name) throw new Error(`exec into ${name} answered ${JSON.stringify(answer)}`);
    return performance.now() - from;
  });
  add(`isopod exec, ${atOnce} at once`, "ms", execMs);

  const removing = performance.now();
  await installation.isopod(["rm", "--force", ...names], signal);
  add("all removed", "s", [(performance.now() - removing) / 1000]);
}

async function start(client: KubeClient, image: string, name: string, signal: AbortSignal): Promise<number> {
  const from = performance.now();
  const created = await createInstance(client, { name, image, command: ["sleep", "86400"], ...size, signal });
  await untilStarted(client, created, signal);
  const { status } = await client.get(resources.pods, "default", name, { signal });
  if (status?.phase !== "Running") throw new Error(`${name} is ${status?.phase}`);
  return performance.now() - from;
}

/** Private memory of each VM's process, with and without TCG's translation cache, and the CPU all of them use. */
async function measureIdle(
  { dataDirectory }: Installation,
  count: number,
  add: (what: string, unit: string, values: readonly number[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const pids = await machinePids(dataDirectory);
  if (pids.length !== count) throw new Error(`${pids.length} VMs run, not ${count}`);
  const before = await cpuTicks(pids);
  await pause(idleMs, signal);
  const ticks = (await cpuTicks(pids)) - before;
  add("CPU of all idle VMs", "% of a core", [(ticks * 10 * 100) / idleMs]);
  const smaps = await Promise.all(pids.map(async (pid) => await readFile(`/proc/${pid}/smaps`, "utf8")));
  const caches = smaps.map((text) => translationCacheBytes(text) ?? 0);
  const totals = smaps.map(privateBytes);
  add(
    "private memory of a VM",
    "MiB",
    totals.map((bytes) => bytes / mebibyte),
  );
  add(
    "  of it TCG's translation cache",
    "MiB",
    caches.map((bytes) => bytes / mebibyte),
  );
  add(
    "  the rest",
    "MiB",
    totals.map((bytes, index) => (bytes - (caches[index] ?? 0)) / mebibyte),
  );
}

async function machinePids(dataDirectory: string): Promise<readonly number[]> {
  const instances = join(dataDirectory, "instances");
  const pids: number[] = [];
  for (const entry of await readdir(instances, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    for (const name of await readdir(join(instances, entry.name))) {
      if (!name.startsWith("vm-")) continue;
      const record = JSON.parse(await readFile(join(instances, entry.name, name, "machine.json"), "utf8")) as {
        readonly process: { readonly pid: number };
      };
      pids.push(record.process.pid);
    }
  }
  return pids;
}

/** Hundredths of a second of user and system time of all these processes. */
async function cpuTicks(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks;
}

async function availableMiB(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/^MemAvailable:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
}

async function inTurns(
  names: readonly string[],
  action: (name: string) => Promise<number>,
): Promise<readonly number[]> {
  const results: number[] = [];
  const rest = [...names];
  const work = async (): Promise<void> => {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) results.push(await action(name));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((done) => setTimeout(done, ms));
  signal.throwIfAborted();
}
