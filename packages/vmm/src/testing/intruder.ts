import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { silentLogger, systemClock } from "@isopod/base";
import type { MachineSpec, Template } from "../contract.ts";
import { type CgroupPaths, createCgroup, findCgroupRoots, machineCgroup, removeCgroup } from "../qemu/cgroup.ts";
import { launch } from "../qemu/launch.ts";
import type { LaunchDescriptor, MonitorPlan } from "../qemu/launch-plan.ts";
import { launcherBinary } from "../qemu/launcher-binary.ts";
import { Launchers } from "../qemu/launchers.ts";
import { type BootSettings, launchPlan } from "../qemu/start-machine.ts";
import { SavedTemplate } from "../qemu/template/saved-template.ts";
import type { TestFork } from "./fork-host.ts";

const script = fileURLToPath(new URL("escape.py", import.meta.url));

export interface Intrusion {
  /** How each attempt ended; empty when the program did not live to tell. */
  readonly outcomes: Readonly<Record<string, unknown>>;
  readonly signal: string | null;
  /** What a monitor's end removes, as it does; when that fails, why. */
  readonly cgroups: CgroupPaths;
}

/** What a program with a fork's descriptors is told about them, and about others'. */
export type World = Readonly<Record<string, unknown>>;

/** What the monitor of a machine knows of what it was given, and of another machine. */
export function worldOf(
  descriptors: readonly LaunchDescriptor[],
  fileBytes: number | undefined,
  victim: TestFork,
): World {
  const numberOf = (is: (one: LaunchDescriptor) => boolean): number => {
    const [found, ...others] = descriptors.filter(is);
    if (found === undefined || others.length > 0) throw new Error("not one descriptor");
    return found.number;
  };
  const fileAt = (part: string): number => numberOf((one) => one.type === "file" && one.path.includes(part));
  const memory = fileAt("/fd/");
  return {
    memory,
    files: {
      memory,
      state: fileAt("/state"),
      "template's disk": fileAt("/scratch.qcow2"),
      "file system": fileAt("/ext4-"),
      image: fileAt("/image"),
    },
    scratch: numberOf((one) => one.type === "file" && one.isWritable),
    tap: numberOf((one) => one.type === "tap"),
    otherTap: victim.spec.network?.tapName,
    numbers: descriptors.map((one) => one.number),
    fileBytes,
    directory: victim.spec.directory,
    disk: victim.spec.disks.map((one) => (one.type === "qcow2" ? one.path : ""))[1],
    processes: { victim: victim.machine.pid, service: process.pid, init: 1 },
  };
}

/** Attempts, by what became of them. */
export function endings(outcomes: Intrusion["outcomes"]): Readonly<Record<string, readonly string[]>> {
  const groups = Object.groupBy(Object.entries(outcomes), ([, outcome]) => String(outcome));
  return Object.fromEntries(
    Object.entries(groups).map(([outcome, group]) => [outcome, (group ?? []).map(([name]) => name)]),
  );
}

/** The program and how it is run: it says how its attempts ended on its standard error. */
export async function intruderArguments(task: string, world: World): Promise<readonly string[]> {
  return ["-I", "-S", "-B", "-c", await readFile(script, "utf8"), task, JSON.stringify(world)];
}

export function intruderSettings(launchers: Launchers, cgroupRoots: CgroupPaths): BootSettings {
  return {
    program: "/usr/bin/python3",
    launchers,
    accelerator: "tcg",
    cgroupRoots,
    kernelPath: "/nowhere",
    initramfsPath: undefined,
    commandLine: "",
    clock: systemClock,
    logger: silentLogger,
  };
}

/** Runs a hostile program in the place of a fork's monitor: same plan, same jail, same descriptors, same bounds. */
export class Intruder implements AsyncDisposable {
  readonly #launchers: Launchers;
  readonly #template: SavedTemplate;

  private constructor(launchers: Launchers, template: SavedTemplate) {
    this.#launchers = launchers;
    this.#template = template;
  }

  static async create(directory: string, template: Template): Promise<Intruder> {
    if (!(template instanceof SavedTemplate)) throw new TypeError("not a template of QEMU's");
    const mountPoint = join(directory, "jail");
    await mkdir(mountPoint);
    return new Intruder(new Launchers(await launcherBinary(directory), mountPoint), template);
  }

  /** `world` is told the plan, and tells the program what it wants to know. */
  async run(spec: MachineSpec, task: string, world: (plan: MonitorPlan) => World): Promise<Intrusion> {
    const cgroups = machineCgroup(await findCgroupRoots(), spec.id);
    await createCgroup(cgroups, spec.limits);
    const { statePath, scratchBacking } = this.#template;
    const settings = intruderSettings(this.#launchers, await findCgroupRoots());
    const held: { stderr?: Awaited<ReturnType<typeof open>> } = {};
    try {
      const child = await this.#template.use(async (path) => {
        const memory = { path, isShared: false };
        const beginning = { type: "saved", memory, statePath, scratchBacking } as const;
        const plan = launchPlan(spec, settings, beginning, cgroups);
        const program = await intruderArguments(task, world(plan));
        return await launch(
          { ...plan, arguments: program },
          {
            launchers: this.#launchers,
            id: spec.id,
            signal: undefined,
            record: async (pid) => {
              held.stderr = await open(`/proc/${pid}/fd/2`, "r");
            },
          },
        );
      });
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.once("exit", resolve));
      const said = ((await held.stderr?.readFile("utf8")) ?? "").replace(/\0+$/, "");
      if (said !== "" && !said.startsWith("{")) throw new Error(said);
      return { outcomes: said === "" ? {} : JSON.parse(said), signal: child.signalCode, cgroups };
    } finally {
      await held.stderr?.close();
      await removeCgroup(cgroups, systemClock);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#launchers.close();
  }
}
