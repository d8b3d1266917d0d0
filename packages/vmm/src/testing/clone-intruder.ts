import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@isopod/base";
import type { MachineSpec, Template } from "../contract.ts";
import { createCgroup, findCgroupRoots, joinCgroup, machineCgroup, removeCgroup } from "../qemu/cgroup.ts";
import { tapDescriptor } from "../qemu/command-line.ts";
import { launch } from "../qemu/launch.ts";
import type { LaunchDescriptor } from "../qemu/launch-plan.ts";
import { launcherBinary } from "../qemu/launcher-binary.ts";
import { Launchers } from "../qemu/launchers.ts";
import { machineFiles } from "../qemu/machine-record.ts";
import { identifyProcess } from "../qemu/process-identity.ts";
import { stderrBytes } from "../qemu/qemu-machine.ts";
import { largestFileBytes, launchPlan } from "../qemu/start-machine.ts";
import { SavedTemplate } from "../qemu/template/saved-template.ts";
import { workUserId } from "../qemu/template/work-machine.ts";
import type { ForkHost, TestFork } from "./fork-host.ts";
import { intruderArguments, intruderSettings, type World, worldOf } from "./intruder.ts";

const looks = 3000;
const lookIntervalMs = 10;

/**
 * A hostile program in the place of a zygote's monitor, with threads that come and go: same plan, same jail, same
 * library. Its clones are to find themselves in the jail of any machine.
 */
export class CloneIntruder implements AsyncDisposable {
  readonly pid: number;
  readonly #launchers: Launchers;
  readonly #requestsPath: string;
  readonly #spec: MachineSpec;
  readonly #descriptors: readonly LaunchDescriptor[];
  readonly #end: () => Promise<void>;

  private constructor(parts: {
    readonly pid: number;
    readonly launchers: Launchers;
    readonly requestsPath: string;
    readonly spec: MachineSpec;
    readonly descriptors: readonly LaunchDescriptor[];
    readonly end: () => Promise<void>;
  }) {
    this.pid = parts.pid;
    this.#launchers = parts.launchers;
    this.#requestsPath = parts.requestsPath;
    this.#spec = parts.spec;
    this.#descriptors = parts.descriptors;
    this.#end = parts.end;
  }

  /** Clones try `task`. What they hold is described by `spec`, one after the other. */
  static async start(host: ForkHost, template: Template, task: string, victim: TestFork): Promise<CloneIntruder> {
    if (!(template instanceof SavedTemplate)) throw new TypeError("not a template of QEMU's");
    const name = task.replaceAll(/[^a-z]/g, "");
    const directory = host.file(`intruder-${name}`);
    await mkdir(join(directory, "jail"), { recursive: true });
    const launchers = new Launchers(await launcherBinary(directory), join(directory, "jail"));
    const spec = await host.specOf(`intruder-${name}`);
    const id = `${spec.id}-zygote`;
    const cgroups = machineCgroup(await findCgroupRoots(), id);
    await createCgroup(cgroups, { cpuMilli: 2000, memoryMiB: 512, pids: 256 });
    const ownDisk = join(directory, "own.qcow2");
    await host.makeScratch(ownDisk, workUserId);
    const imagePath = join(directory, "rehearsed");
    await host.makeScratch(imagePath, workUserId);
    const requestsPath = join(directory, "clone.sock");
    const settings = intruderSettings(launchers, await findCgroupRoots());
    const { statePath, scratchBacking } = template;
    const zygote = {
      ...spec,
      id,
      directory,
      userId: workUserId,
      network: "placeholder",
      disks: [
        { type: "socket", serial: "image", path: imagePath },
        { type: "qcow2", serial: "scratch", path: ownDisk, sizeBytes: template.shape.scratchBytes },
      ],
    } as const;
    return await template.use(async (path) => {
      const memory = { path, isShared: false };
      const beginning = { type: "saved", memory, statePath, scratchBacking, zygote: { requestsPath } } as const;
      const plan = launchPlan(zygote, settings, beginning, cgroups);
      const [spare] = plan.spares;
      const [image] = spec.disks;
      if (spare === undefined || image?.type !== "parts" || spec.network === undefined) throw new Error("not a fork");
      const given: LaunchDescriptor[] = [
        { number: spare, type: "file", path: image.parts[0]?.path ?? "", isWritable: false },
      ];
      for (const one of plan.descriptors) {
        const { number } = one;
        if (one.type === "listen") {
          const file = one.path.endsWith(machineFiles.qmp) ? machineFiles.qmp : machineFiles.agent;
          given.push({ number, type: "listen", path: join(spec.directory, file) });
        } else if (one.type === "placeholder-tap") given.push({ number, ...tapDescriptor(spec.network) });
        else if (one.type === "file" && one.isWritable) {
          given.push({
            number,
            type: "file",
            path: spec.disks[1]?.type === "qcow2" ? spec.disks[1].path : "",
            isWritable: true,
          });
        }
      }
      const isKept = ({ number, type }: LaunchDescriptor): boolean =>
        type !== "threads" && type !== "requests" && !given.some((one) => one.number === number);
      const descriptors = [...plan.descriptors.filter(isKept), ...given];
      const world = { ...worldOf(descriptors, largestFileBytes(spec), victim), "waits to be cloned": true };
      const held: { stderr?: Awaited<ReturnType<typeof open>> } = {};
      const child = await launch(
        { ...plan, arguments: await intruderArguments(task, world) },
        {
          launchers,
          id,
          signal: undefined,
          record: async (pid) => {
            held.stderr = await open(`/proc/${pid}/fd/2`, "r");
          },
        },
      );
      const end = async (): Promise<void> => {
        if (child.exitCode === null && child.signalCode === null) {
          const ended = new Promise((resolve) => child.once("exit", resolve));
          child.kill("SIGKILL");
          await ended;
        }
        await held.stderr?.close();
        await removeCgroup(cgroups, systemClock);
        launchers.close();
      };
      for (let look = 0; ; look++) {
        const said = Buffer.alloc(4096);
        await held.stderr?.read(said, 0, said.length, 0);
        const text = said.toString("latin1").replace(/\0+$/, "");
        if (text === "waiting") break;
        if (text !== "" || look > looks) {
          await end();
          throw new Error(`the program does not wait to be cloned: ${text}`);
        }
        await systemClock.sleep(lookIntervalMs);
      }
      const pid = child.pid ?? 0;
      return new CloneIntruder({ pid, launchers, requestsPath, spec, descriptors: given, end });
    });
  }

  /** The clone's attempts, by their names. */
  async clone(): Promise<World> {
    const spec = this.#spec;
    const held: { stderr?: Awaited<ReturnType<typeof open>>; pid?: number } = {};
    const cgroups = machineCgroup(await findCgroupRoots(), spec.id);
    await createCgroup(cgroups, spec.limits);
    try {
      await launch(
        {
          type: "clone",
          zygote: this.#requestsPath,
          name: spec.id,
          userId: spec.userId,
          fileBytes: largestFileBytes(spec),
          stderrBytes,
          descriptors: this.#descriptors,
          changes: [],
        },
        {
          launchers: this.#launchers,
          id: spec.id,
          signal: undefined,
          record: async (pid) => {
            held.pid = pid;
            held.stderr = await open(`/proc/${pid}/fd/2`, "r");
            await joinCgroup(cgroups, pid);
          },
        },
      );
      for (let look = 0; (await identifyProcess(held.pid ?? 0)) !== undefined; look++) {
        if (look > looks) throw new Error("a clone does not end");
        await systemClock.sleep(lookIntervalMs);
      }
      const said = ((await held.stderr?.readFile("utf8")) ?? "").replace(/\0+$/, "");
      if (!said.startsWith("{")) throw new Error(said);
      return JSON.parse(said);
    } finally {
      await held.stderr?.close();
      await removeCgroup(cgroups, systemClock);
      for (const file of [machineFiles.qmp, machineFiles.agent]) await rm(join(spec.directory, file), { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}
