import { constants, copyFile, chown, mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rehearsalImage, rehearse } from "@isopod/guest";
import type { MachineDisk, MachineSpec, MakeScratch } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { AddDescriptor } from "../block-nodes.ts";
import { limitDisksCommand, monitorName, plugDisks, tapDescriptor } from "../command-line.ts";
import type { DescriptorChange, LaunchDescriptor } from "../launch-plan.ts";
import { machineFiles } from "../machine-record.ts";
import { descriptorsOf, endProcess, identifyProcess, type ProcessIdentity } from "../process-identity.ts";
import { stderrBytes } from "../qemu-machine.ts";
import {
  type BootSettings,
  type CloneBeginning,
  largestFileBytes,
  launchPlan,
  startMachine,
} from "../start-machine.ts";
import { removeWorkDirectory } from "../end-by-record.ts";
import type { SavedTemplate } from "./saved-template.ts";
import { imageBytes, workMachine, workUserId } from "./work-machine.ts";

/** What a zygote has open. */
interface ZygoteDescriptors {
  /** As its launcher was told. */
  readonly planned: readonly LaunchDescriptor[];
  /** Where its scratch disk is. */
  readonly scratch: number;
  /** What becomes of the others in every clone. */
  readonly changes: readonly DescriptorChange[];
  /** Descriptor sets that lead nowhere, and under which number each leads there. */
  readonly spares: readonly { readonly set: number; readonly number: number }[];
}

/** Where it takes requests, in its machine's directory. */
const requestsName = "clone.sock";
/** A start after the first translates 1,430 blocks instead of 23,300, after the second 1,415, after the third 1,330. */
const rehearsals = 2;
/** Of each rehearsal: the first takes half a second. */
const rehearsalMs = 60_000;
/** What clones use before they are in their own cgroup is accounted to the zygote. */
const clonesMemoryMiB = 4096;
const clonesThreads = 4096;
const clonesCpus = 64;
/** Nobody is reached by it. */
const rehearsedNetwork = Object.freeze({
  macAddress: "02:00:00:00:00:02",
  address: "10.64.0.2",
  gatewayAddress: "169.254.1.1",
  gatewayMacAddress: "02:ff:00:00:00:01",
  mtu: 1450,
});
const looksForQuiet = 200;
const lookIntervalMs = 10;

/**
 * A fork of a template that has rehearsed the start of an instance, was taken back, and stands still, to be cloned with
 * its whole monitor process: a clone has the monitor's translation of all guest code that a start runs (see
 * docs/decisions/019). It runs no tenant's code, and has no network.
 */
export class Zygote {
  readonly #template: SavedTemplate;
  readonly #directory: string;
  readonly #settings: BootSettings;
  readonly #process: ProcessIdentity;
  readonly #monitorName: string;
  readonly #descriptors: ZygoteDescriptors;
  readonly #held = new Set<Promise<unknown>>();

  private constructor(
    template: SavedTemplate,
    directory: string,
    settings: BootSettings,
    process: ProcessIdentity,
    name: string,
    descriptors: ZygoteDescriptors,
  ) {
    this.#template = template;
    this.#directory = directory;
    this.#settings = settings;
    this.#process = process;
    this.#monitorName = name;
    this.#descriptors = descriptors;
  }

  /** In a new directory. A failure leaves nothing behind. */
  static async make(
    directory: string,
    template: SavedTemplate,
    makeScratch: MakeScratch,
    settings: BootSettings,
    signal: AbortSignal | undefined,
  ): Promise<Zygote> {
    const machineDirectory = join(directory, "machine");
    await mkdir(machineDirectory, { recursive: true, mode: 0o700 });
    try {
      const imagePath = join(directory, "image");
      await writeFile(imagePath, rehearsalImage());
      // The nodes above it keep this size, whatever disk comes in its place.
      await truncate(imagePath, imageBytes);
      const scratchPath = join(directory, "scratch.qcow2");
      await makeScratch(scratchPath, workUserId);
      const { id, shape, statePath, scratchBacking } = template;
      const base = workMachine(`zygote-${id}-${process.pid}`, machineDirectory, shape, [
        { type: "socket", serial: "image", path: imagePath },
        { type: "qcow2", serial: "scratch", path: scratchPath, sizeBytes: shape.scratchBytes },
      ]);
      const limits = {
        cpuMilli: clonesCpus * 1000,
        memoryMiB: base.limits.memoryMiB + clonesMemoryMiB,
        pids: clonesThreads,
      };
      const spec = { ...base, limits };
      return await template.use(async (path) => {
        const zygote = { requestsPath: join(directory, requestsName) };
        const beginning = {
          type: "saved",
          memory: { path, isShared: false },
          statePath,
          scratchBacking,
          zygote,
        } as const;
        const machine = await startMachine(spec, settings, beginning, () => {}, signal);
        const { pid } = machine;
        // Not killed by it when something fails, but by its record, as whatever is left of a zygote.
        using _ = { [Symbol.dispose]: () => machine.detach() };
        for (let count = 0; count < rehearsals; count++) {
          await rehearse({
            socketPath: machine.agentSocketPath,
            timeoutMs: rehearsalMs,
            network: rehearsedNetwork,
            ...(signal === undefined ? {} : { signal }),
          });
        }
        await machine.pause();
        const identity = await identifyProcess(pid);
        if (identity === undefined) throw new Error("its monitor ended");
        const sets = await machine.descriptorSets();
        machine.detach();
        const { descriptors: planned, spares } = launchPlan(spec, settings, beginning, settings.cgroupRoots);
        const scratch = scratchOf(planned, sets, scratchPath);
        const changes = await changesOf(pid, planned, scratch, settings);
        const descriptors = {
          planned,
          scratch,
          changes,
          spares: spares.map((set) => ({ set, number: sets.get(set) ?? set })),
        };
        return new Zygote(template, directory, settings, identity, monitorName(spec.id), descriptors);
      });
    } catch (cause) {
      await removeWorkDirectory(directory, settings.clock);
      signal?.throwIfAborted();
      throw new VmmError(`template ${template.id} has no zygote: ${cause instanceof Error ? cause.message : cause}`, {
        code: "TemplateFailed",
        stage: "template",
        object: template.id,
        remedy: "Instances are forked from the template itself meanwhile, which takes longer.",
        cause,
      });
    }
  }

  /** Whether a machine can be made of it: with an image first, and disks of no more files than there is room for. */
  canBecome({ disks }: MachineSpec): boolean {
    const [image, , ...further] = disks;
    const files = [image, ...further].reduce((sum, disk) => sum + (disk === undefined ? 0 : filesOf(disk)), 0);
    return image?.type === "parts" && files <= this.#descriptors.spares.length;
  }

  /** Makes the disk that goes with the guest's memory, at `path`. */
  async copyScratch(path: string, userId: number): Promise<void> {
    await copyFile(this.#scratchPath, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await chown(path, userId, userId);
  }

  /** For a machine whose scratch disk is at `scratchPath`. */
  beginning(spec: MachineSpec, scratchPath: string): CloneBeginning {
    const descriptors: LaunchDescriptor[] = [];
    const numberOf = (is: (one: LaunchDescriptor) => boolean): number => {
      const found = this.#descriptors.planned.find(is);
      if (found === undefined) throw new Error("a zygote lacks a descriptor");
      return found.number;
    };
    const replace = (name: string): void => {
      const number = numberOf((one) => one.type === "listen" && one.path.endsWith(`/${name}`));
      descriptors.push({ number, type: "listen", path: join(spec.directory, name) });
    };
    replace(machineFiles.qmp);
    replace(machineFiles.agent);
    if (spec.network !== undefined) {
      descriptors.push({ number: numberOf((one) => one.type === "placeholder-tap"), ...tapDescriptor(spec.network) });
    }
    descriptors.push({ number: this.#descriptors.scratch, type: "file", path: scratchPath, isWritable: true });
    const spares = [...this.#descriptors.spares];
    const add: AddDescriptor = (descriptor) => {
      const spare = spares.shift();
      if (spare === undefined) throw new Error("disks have more files than a zygote has room for");
      descriptors.push({ number: spare.number, ...descriptor });
      return spare.set;
    };
    const plugged = plugDisks(spec.disks, add);
    const { io } = spec.limits;
    return {
      type: "clone",
      plan: {
        type: "clone",
        zygote: join(this.#directory, requestsName),
        name: monitorName(spec.id),
        userId: spec.userId,
        fileBytes: largestFileBytes(spec),
        stderrBytes,
        descriptors,
        changes: this.#descriptors.changes,
      },
      commands: [...plugged, ...(io === undefined ? [] : [limitDisksCommand(io)]), { command: "cont", args: {} }],
      monitorName: this.#monitorName,
      onJoining: (joined) => void this.hold(joined).catch(() => {}),
      scratchBacking: this.#template.scratchBacking,
    };
  }

  /** Until it has settled, the zygote's cgroup is not removed, as clones that are being made are in it. */
  async hold<Result>(work: Promise<Result>): Promise<Result> {
    this.#held.add(work);
    try {
      return await work;
    } finally {
      this.#held.delete(work);
    }
  }

  /** Machines that were cloned from it live on. May be called again when it failed. */
  async end(): Promise<void> {
    // First: clones that are not made yet fail at once.
    await endProcess(this.#process, this.#settings.clock);
    while (this.#held.size > 0) await Promise.allSettled(this.#held);
    await removeWorkDirectory(this.#directory, this.#settings.clock);
  }

  get #scratchPath(): string {
    return join(this.#directory, "scratch.qcow2");
  }
}

/** How many it is opened by. */
function filesOf(disk: MachineDisk): number {
  if (disk.type === "qcow2") return disk.backingPath === undefined ? 1 : 2;
  // Several are joined by a descriptor.
  return disk.parts.length === 1 ? 1 : disk.parts.length + 1;
}

/** The monitor copies what a descriptor set is made of, and has something else under the numbers it was given. */
function scratchOf(planned: readonly LaunchDescriptor[], sets: ReadonlyMap<number, number>, path: string): number {
  const given = planned.find((one) => one.type === "file" && one.path === path);
  const number = given === undefined ? undefined : sets.get(given.number);
  if (number === undefined) throw new Error("its monitor does not tell where its scratch disk is");
  return number;
}

/** What becomes in a clone of what the zygote has open. The rest is replaced, or only read and not worth a change. */
async function changesOf(
  pid: number,
  planned: readonly LaunchDescriptor[],
  scratch: number,
  settings: BootSettings,
): Promise<readonly DescriptorChange[]> {
  const open = await openWhenQuiet(pid, planned, settings);
  const scratchTarget = open.get(scratch);
  const changes: DescriptorChange[] = [];
  for (const [number, target] of open) {
    if (target === "anon_inode:[eventfd]") changes.push({ number, type: "new-event" });
    else if (target === "anon_inode:[eventpoll]") changes.push({ number, type: "new-poll" });
    else if (target === "anon_inode:[signalfd]")
      changes.push({ number, type: "new-signals", mask: await maskOf(pid, number) });
    else if (target === scratchTarget && number !== scratch) changes.push({ number, type: "copy", of: scratch });
  }
  return changes;
}

/** Which signals a descriptor tells of. */
async function maskOf(pid: number, number: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/fdinfo/${number}`, "utf8");
  const mask = /^sigmask:\s*([0-9a-f]+)$/m.exec(text)?.[1] ?? "";
  const value = Number.parseInt(mask, 16);
  if (!(value < 2 ** 32)) throw new Error(`its monitor's descriptor ${number} is for other signals: ${mask}`);
  return value;
}

/** Waits until the monitor has hung up on whoever spoke to it last: such a conversation would go on in every clone. */
async function openWhenQuiet(
  pid: number,
  planned: readonly LaunchDescriptor[],
  { clock }: BootSettings,
): Promise<ReadonlyMap<number, string>> {
  const known = new Set(planned.map((one) => one.number));
  for (let look = 0; look < looksForQuiet; look++) {
    const open = await descriptorsOf(pid);
    const isTalking = [...open].some(([number, target]) => target.startsWith("socket:") && !known.has(number));
    if (!isTalking) return open;
    await clock.sleep(lookIntervalMs);
  }
  throw new Error("its monitor does not hang up");
}
