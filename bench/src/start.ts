import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDocker } from "./docker.ts";
import { prepareTemplates, startInstallation, startRegistry, writeBusyboxLayout } from "./installation.ts";
import { removeInstance, startOnce } from "./isopod-start.ts";
import type { BenchOptions } from "./options.ts";
import { type Comparison, report, type Series } from "./report.ts";
import { versions } from "./versions.ts";

/** Sizes compared, as DESIGN 9 names them. */
export const startSizes = [
  { label: "0.25 vCPU", cpu: 0.25, memoryMiB: 512 },
  { label: "1 vCPU", cpu: 1, memoryMiB: 1024 },
] as const;

/** `start`: from the request to the first output, by stage, interleaved with Docker on the same image. */
export async function benchStart({ json, rounds, signal }: BenchOptions): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-image-"));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  await writeBusyboxLayout(directory);
  const registry = undo.use(await startRegistry());
  const image = await registry.push(directory, "busybox:1");
  const installation = undo.use(await startInstallation());
  const { client } = installation;
  await installation.isopod(["image", "pull", image]);
  await prepareTemplates(installation, startSizes, signal);
  const docker = await startDocker();
  if (docker === undefined)
    console.error("no Docker engine is installed (apt-get install docker.io): only our own side is measured");
  else await undo.use(docker).load(directory, image);
  const collected = new Map<string, number[]>();
  const origins = new Map<string, number>();
  for (let round = 0; round <= rounds; round++) {
    // The first round warms both sides' caches and is not counted.
    const add = (what: string, value: number): void => {
      if (round > 0) collected.set(what, [...(collected.get(what) ?? []), value]);
    };
    for (const size of startSizes) {
      signal.throwIfAborted();
      const command = ["echo", "up"];
      const name = `bench-${round}-${size.cpu * 100}`;
      const { ms, stages, from } = await startOnce(client, { name, image, command, signal, ...size });
      await removeInstance(client, name);
      add(`isopod start, ${size.label}`, ms);
      for (const [stage, stageMs] of Object.entries(stages)) add(`  stage ${stage}, ${size.label}`, stageMs);
      if (round > 0) origins.set(from, (origins.get(from) ?? 0) + 1);
      if (docker !== undefined) {
        const container = await docker.start({ image, command, runtime: "runc", signal, ...size });
        await container.remove();
        add(`docker start, ${size.label}`, container.ms);
      }
      const limits = ["--cpu", String(size.cpu), "--memory", `${size.memoryMiB}Mi`];
      const began = performance.now();
      await installation.isopod(["run", "--rm", ...limits, image, "--", "true"], signal);
      add(`isopod run --rm, ${size.label}`, performance.now() - began);
      if (docker !== undefined) {
        const from = performance.now();
        await docker.run(["run", "--rm", `--cpus=${size.cpu}`, `--memory=${size.memoryMiB}m`, image, "true"], signal);
        add(`docker run --rm, ${size.label}`, performance.now() - from);
      }
    }
  }
  const series = [...collected].map(([what, values]): Series => ({ what, unit: "ms", values }));
  const find = (what: string): Series | undefined => series.find((one) => one.what === what);
  const comparisons = startSizes.flatMap(({ label }) =>
    ["start", "run --rm"].flatMap((kind): Comparison[] => {
      const [ours, peer] = [find(`isopod ${kind}, ${label}`), find(`docker ${kind}, ${label}`)];
      return ours === undefined || peer === undefined ? [] : [{ ours, peer }];
    }),
  );
  const facts = [
    `started from: ${[...origins].map(([from, count]) => `${from} (${count})`).join(", ")}`,
    ...(await versions(installation, docker)),
    "cpuOvercommit 4, memoryOvercommit 1, maxPods 250, image present, no warm pool",
  ].join("; ");
  await report("start", facts, series, comparisons, json);
}
