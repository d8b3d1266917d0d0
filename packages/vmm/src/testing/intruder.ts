import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { silentLogger, systemClock } from "@isopod/base";
import type { MachineSpec, Template } from "../contract.ts";
import { type CgroupPaths, createCgroup, findCgroupRoots, machineCgroup, removeCgroup } from "../qemu/cgroup.ts";
import { launch } from "../qemu/launch.ts";
import type { LaunchPlan } from "../qemu/launch-plan.ts";
import { launcherBinary } from "../qemu/launcher-binary.ts";
import { Launchers } from "../qemu/launchers.ts";
import { launchPlan } from "../qemu/start-machine.ts";
import { SavedTemplate } from "../qemu/template/saved-template.ts";

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

  /** `worldOf` is told the plan, and tells the program what it wants to know. */
  async run(spec: MachineSpec, task: string, worldOf: (plan: LaunchPlan) => World): Promise<Intrusion> {
    const cgroups = machineCgroup(await findCgroupRoots(), spec.id);
    await createCgroup(cgroups, spec.limits);
    const { statePath, scratchBacking } = this.#template;
    const settings = {
      program: "/usr/bin/python3",
      launchers: this.#launchers,
      accelerator: "tcg",
      cgroupRoots: await findCgroupRoots(),
      kernelPath: "/nowhere",
      initramfsPath: undefined,
      commandLine: "",
      clock: systemClock,
      logger: silentLogger,
    } as const;
    const held: { stderr?: Awaited<ReturnType<typeof open>> } = {};
    try {
      const child = await this.#template.use(async (path) => {
        const memory = { path, isShared: false };
        const beginning = { type: "saved", memory, statePath, scratchBacking } as const;
        const plan = launchPlan(spec, settings, beginning, cgroups);
        const program = ["-I", "-S", "-B", "-c", await readFile(script, "utf8"), task, JSON.stringify(worldOf(plan))];
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
