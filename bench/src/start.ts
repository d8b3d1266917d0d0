import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Pod, resources, startStagesAnnotation } from "@isopod/api";
import { type KubeClient, pathOf } from "@isopod/client";
import { startDocker } from "./docker.ts";
import { type Installation, startInstallation } from "./installation.ts";
import { type Comparison, report, type Series } from "./report.ts";

const run = promisify(execFile);

/** Sizes compared, as DESIGN 9 names them. */
const sizes = [
  { label: "0.25 vCPU", cpu: 0.25, memoryMiB: 512 },
  { label: "1 vCPU", cpu: 1, memoryMiB: 1024 },
] as const;

interface Start {
  readonly totalMs: number;
  readonly stages: Readonly<Record<string, number>>;
}

/** API request sent → first byte of the container's output, as a client sees it; then the stages. */
async function startOnce(
  client: KubeClient,
  image: string,
  size: (typeof sizes)[number],
  name: string,
): Promise<Start> {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      restartPolicy: "Never",
      containers: [
        {
          name: "main",
          image,
          imagePullPolicy: "IfNotPresent",
          command: ["echo", "up"],
          resources: { limits: { cpu: String(size.cpu), memory: `${size.memoryMiB}Mi` } },
        },
      ],
    },
  };
  const nowMicros = (): number => (performance.timeOrigin + performance.now()) * 1000;
  const sent = nowMicros();
  const created = await client.create(resources.pods, pod);
  const accepted = nowMicros();
  let current = created;
  const isStarted = (one: Pod): boolean => {
    const state = one.status?.containerStatuses?.[0]?.state;
    return state?.running !== undefined || state?.terminated !== undefined;
  };
  for await (const event of client.watch(resources.pods, {
    namespace: "default",
    fieldSelector: `metadata.name=${name}`,
    resourceVersion: created.metadata.resourceVersion ?? "0",
  })) {
    if (event.type === "BOOKMARK") continue;
    current = event.object;
    if (isStarted(current)) break;
  }
  const answer = await client.send("GET", pathOf(resources.pods, "default", name, "log"), {
    query: { follow: true },
    accept: "*/*",
  });
  let first: number | undefined;
  for await (const _chunk of answer.body) first ??= nowMicros();
  if (first === undefined) throw new Error(`${name} wrote nothing`);
  const finished = await client.get(resources.pods, "default", name);
  const at = JSON.parse(finished.metadata.annotations?.[startStagesAnnotation] ?? "{}") as Record<
    string,
    number | undefined
  >;
  const { seen = accepted, image: pulled = seen, network = seen, disk = seen, booted = seen, started = booted } = at;
  const ready = Math.max(pulled, network, disk);
  return {
    totalMs: (first - sent) / 1000,
    stages: {
      API: (accepted - sent) / 1000,
      schedule: (seen - accepted) / 1000,
      image: (pulled - seen) / 1000,
      network: (network - seen) / 1000,
      disk: (disk - seen) / 1000,
      boot: (booted - ready) / 1000,
      container: (started - booted) / 1000,
      "first output": (first - started) / 1000,
    },
  };
}

async function remove(installation: Installation, name: string): Promise<void> {
  await installation.isopod(["rm", "--force", name]);
}

/** `start`: from the request to the first output, by stage, interleaved with Docker on the same image. */
export async function benchStart(options: {
  readonly json: string | undefined;
  readonly rounds: number;
}): Promise<void> {
  await using installation = await startInstallation();
  const { client, image } = installation;
  await installation.isopod(["image", "pull", image]);
  await using docker = await startDocker(image);
  if (docker === undefined)
    console.error("no Docker engine is installed (apt-get install docker.io): only our own side is measured");
  const collected = new Map<string, number[]>();
  const add = (what: string, value: number): void => {
    const values = collected.get(what) ?? [];
    values.push(value);
    collected.set(what, values);
  };
  for (let round = 0; round <= options.rounds; round++) {
    // The first round warms both sides' caches and is not counted.
    const isCounted = round > 0;
    for (const size of sizes) {
      const name = `bench-${round}-${size.cpu * 100}`;
      const { totalMs, stages } = await startOnce(client, image, size, name);
      await remove(installation, name);
      if (isCounted) {
        add(`isopod start, ${size.label}`, totalMs);
        for (const [stage, ms] of Object.entries(stages)) add(`  stage ${stage}, ${size.label}`, ms);
      }
      if (docker !== undefined) {
        const ms = await docker.startMs(image, ["echo", "up"], size);
        if (isCounted) add(`docker start, ${size.label}`, ms);
      }
      const limits = ["--cpu", String(size.cpu), "--memory", `${size.memoryMiB}Mi`];
      const began = performance.now();
      await installation.isopod(["run", "--rm", ...limits, image, "--", "true"]);
      if (isCounted) add(`isopod run --rm, ${size.label}`, performance.now() - began);
      if (docker !== undefined) {
        const from = performance.now();
        await docker.run(["run", "--rm", `--cpus=${size.cpu}`, `--memory=${size.memoryMiB}m`, image, "true"]);
        if (isCounted) add(`docker run --rm, ${size.label}`, performance.now() - from);
      }
    }
  }
  const series = [...collected].map(([what, values]): Series => ({ what, unit: "ms", values }));
  const find = (what: string): Series | undefined => series.find((one) => one.what === what);
  const comparisons = sizes.flatMap(({ label }) =>
    ["start", "run --rm"].flatMap((kind): Comparison[] => {
      const [ours, peer] = [find(`isopod ${kind}, ${label}`), find(`docker ${kind}, ${label}`)];
      return ours === undefined || peer === undefined ? [] : [{ ours, peer }];
    }),
  );
  const node = (await client.list(resources.nodes)).items[0];
  const { stdout: qemu } = await run("qemu-system-x86_64", ["--version"]);
  const facts = [
    `cold boot, ${node?.status?.nodeInfo?.containerRuntimeVersion ?? ""}`,
    qemu.split("\n")[0] ?? "",
    docker !== undefined ? `Docker ${docker.version} overlay2` : "no Docker",
    "cpuOvercommit 4, memoryOvercommit 1, maxPods 250, image present, no warm pool",
  ].join("; ");
  await report("start", facts, series, comparisons, options.json);
}
