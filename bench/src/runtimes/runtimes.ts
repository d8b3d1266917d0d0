import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { type Docker, startDocker } from "../docker.ts";
import {
  type Installation,
  repositoryRoot,
  startInstallation,
  startRegistry,
  writeBusyboxLayout,
} from "../installation.ts";
import type { BenchOptions } from "../options.ts";
import { isInstalled, run } from "../program.ts";
import { machine, report } from "../report.ts";
import { versions } from "../versions.ts";
import type { Contender } from "./contender.ts";
import { dockerContender } from "./docker-contender.ts";
import { imageTopic, measureImages } from "./image-size.ts";
import { diskTopic, measureInstances, memoryTopic, pingTopic, throughputTopic } from "./instances.ts";
import { isopodContender } from "./isopod-contender.ts";
import { renderTopics, replaceResults } from "./markdown.ts";
import { Measurements, reasonOf } from "./measurements.ts";
import { planRun } from "./plan.ts";
import { burstCounts, burstSize, burstTopic, measureBursts, measureStarts, startTopic } from "./starts.ts";
import { toolOf, writeToolsLayout } from "./tools-image.ts";

const document = join(repositoryRoot, "docs/benchmarks.md");

/** `--parts` by the topics they measure. */
const parts: Readonly<Record<string, string>> = {
  start: startTopic,
  bursts: burstTopic,
  image: imageTopic,
  memory: memoryTopic,
  ping: pingTopic,
  throughput: throughputTopic,
  disk: diskTopic,
};

/** `runtimes`: Isopod, Docker and gVisor side by side. */
export async function benchRuntimes(options: BenchOptions): Promise<void> {
  const { rounds, signal, json } = options;
  const unknown = options.parts.find((part) => parts[part] === undefined);
  if (unknown !== undefined) throw new Error(`there is no part ${unknown}; parts are ${Object.keys(parts).join(", ")}`);
  const topics = new Set(options.parts.length === 0 ? Object.values(parts) : options.parts.map((part) => parts[part]));

  await using undo = new AsyncDisposableStack();
  const setup = await prepare(options, undo);
  const { contenders } = setup;
  const names = contenders.map((one) => one.name);
  const measurements = new Measurements("docker (runc)");
  const plan = planRun(contenders, rounds, signal);
  const tell = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);

  if (topics.has(imageTopic)) await measureImages(plan, measurements);
  if (topics.has(startTopic)) {
    tell("one at a time");
    await measureStarts(plan, measurements);
  }
  if (topics.has(burstTopic)) {
    tell("many at once");
    await measureBursts(plan, measurements);
  }
  const ofInstances = new Set(
    [memoryTopic, pingTopic, throughputTopic, diskTopic].filter((topic) => topics.has(topic)),
  );
  for (const topic of ofInstances) {
    const tool = toolOf[topic];
    if (tool === undefined || (await isInstalled(tool))) continue;
    for (const name of names)
      measurements.fail(topic, name, `${tool} is not installed (apt-get install ${await packageOf(tool)})`);
    ofInstances.delete(topic);
  }
  if (ofInstances.size > 0) {
    tell("instances");
    await measureInstances(plan, measurements, ofInstances);
  }

  const { series, comparisons, failures } = measurements;
  await report("runtimes", setup.facts, series, comparisons, json, failures);
  if (options.parts.length > 0) return;
  const head = `\`npm run bench -- runtimes --rounds ${rounds}\`, ${new Date().toISOString().slice(0, 10)}: ${await machine()}; ${setup.facts}.`;
  const results = `${head}\n\n${renderTopics(measurements, names)}`;
  await writeFile(document, replaceResults(await readFile(document, "utf8"), "runtimes", results));
}

interface Setup {
  readonly contenders: readonly Contender[];
  readonly facts: string;
}

/** Starts everything that is compared; what is not installed is left out, and said. */
async function prepare({ signal }: BenchOptions, undo: AsyncDisposableStack): Promise<Setup> {
  const directory = await mkdtemp(join(tmpdir(), "isopod-bench-image-"));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  const layouts = { start: join(directory, "busybox"), tools: join(directory, "tools") };
  await writeBusyboxLayout(layouts.start);
  await writeToolsLayout(layouts.tools);
  const registry = undo.use(await startRegistry());
  const images = {
    start: await registry.push(layouts.start, "busybox:1"),
    tools: await registry.push(layouts.tools, "tools:1"),
  };
  signal.throwIfAborted();
  // Enough to place the largest burst, whatever the machine: placing is not what is measured.
  const cpuOvercommit = Math.max(4, Math.ceil((Math.max(...burstCounts) * burstSize.cpu) / cpus().length));
  const settings = ["--cpu-overcommit", String(cpuOvercommit), "--memory-overcommit", "1", "--max-pods", "250"];
  const installation = undo.use(await startInstallation(settings));
  for (const image of Object.values(images)) await installation.isopod(["image", "pull", image]);
  signal.throwIfAborted();
  const left: string[] = [];
  const leave = (what: string, error: unknown): undefined => {
    signal.throwIfAborted();
    left.push(`${what} did not start: ${reasonOf(error)}`);
  };
  const contenders: Contender[] = [
    isopodContender({ installation, from: "template", images }),
    isopodContender({ installation, from: "cold", images }),
  ];
  const docker = await startDocker().catch((error: unknown) => leave("Docker", error));
  if (docker === undefined) {
    if (!(await isInstalled("dockerd"))) left.push(await absence("dockerd"));
  } else {
    undo.use(docker);
    await docker.load(layouts.start, images.start);
    await docker.load(layouts.tools, images.tools);
    contenders.push(dockerContender(docker, "runc", images));
    if (await isInstalled("runsc")) contenders.push(dockerContender(docker, "runsc", images));
    else left.push(await absence("runsc"));
  }
  for (const one of left) console.error(one);
  return { contenders, facts: await factsOf(installation, docker, cpuOvercommit, left) };
}

async function factsOf(
  installation: Installation,
  docker: Docker | undefined,
  cpuOvercommit: number,
  left: readonly string[],
): Promise<string> {
  const gvisor = await run("runsc", ["--version"]).then(
    (text) => [`gVisor ${(text.split("\n")[0] ?? "").replace("runsc version ", "")} (ptrace)`],
    () => [],
  );
  return [
    `Linux ${release()}`,
    ...(await versions(installation, docker)),
    ...gvisor,
    `cpuOvercommit ${cpuOvercommit}, memoryOvercommit 1, maxPods 250`,
    "image present, no warm pool",
    ...left,
  ].join("; ");
}

async function absence(program: string): Promise<string> {
  return `${program} is not installed (apt-get install ${await packageOf(program)})`;
}

/** The Debian package of a program, from the list that `scripts/debian-packages` installs. */
async function packageOf(program: string): Promise<string> {
  const list = await readFile(join(repositoryRoot, "bench/packages.txt"), "utf8");
  const line = list.split("\n").find((one) => one.startsWith(`${program}=`));
  return line?.slice(program.length + 1) ?? program;
}
