import { constants, type FileHandle, mkdir, open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Clock, describeError, type Logger, systemClock } from "@isopod/base";
import type { Accelerator, Machine, MachineSpec, Template, Vmm } from "../contract.ts";
import { VmmError, type VmmErrorCode } from "../errors.ts";
import { type AcceleratorChoice, chooseAccelerator, hostCpuModel } from "./accelerator.ts";
import { findCgroupRoots } from "./cgroup.ts";
import { monitorName } from "./command-line.ts";
import { launcherBinary } from "./launcher-binary.ts";
import { Launchers } from "./launchers.ts";
import { machineFiles, type MachineRecord, readMachineRecord } from "./machine-record.ts";
import { isRunning, type ProcessIdentity } from "./process-identity.ts";
import { findQemu } from "./qemu-program.ts";
import { QemuMachine, removeMachineTraces } from "./qemu-machine.ts";
import { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-codec.ts";
import { type Beginning, type BootSettings, startMachine } from "./start-machine.ts";
import { cloneScratchPath, dropCloneScratch, keepCloneScratch } from "./template/clone-scratch.ts";
import { endByRecord } from "./end-by-record.ts";
import { SavedTemplate } from "./template/saved-template.ts";
import { digestOfFiles } from "./template/template-key.ts";
import { TemplateStore } from "./template/template-store.ts";

export interface QemuVmmOptions {
  /** Holds the unpacked launcher, the result of the KVM probe, and the templates; created when missing. */
  readonly cacheDirectory: string;
  /** Uncompressed ELF with a PVH note; readable by everyone, as is the initramfs. */
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /**
   * The kernel's command line, or one for each accelerator; must contain `panic=-1 reboot=t` for the guest's end to be
   * noticed, and should contain `lapic_timer_khz=` where the kernel knows it.
   */
  readonly commandLine: string | ((accelerator: Accelerator["name"]) => string);
  readonly logger: Logger;
  /** Default `auto`: KVM if it can run the kernel, else emulation. */
  readonly accelerator?: AcceleratorChoice;
  /**
   * How long a zygote may take for a clone before a machine is forked without it. Default 10 s: a clone takes some
   * twenty milliseconds, and on a host where it takes as long as this, so would a fork.
   */
  readonly cloneTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Throws `VmmError`: `NotRoot`, `MissingProgram`, `NoAccelerator`, `CgroupUnavailable`, `LaunchFailed`. */
export async function createQemuVmm(options: QemuVmmOptions): Promise<Vmm> {
  if (process.getuid?.() !== 0) {
    throw new VmmError("machines can only be run by root", {
      code: "NotRoot",
      stage: "boot",
      object: "the service",
      remedy: "Run the service as root: it builds jails, taps and cgroups, and gives up root in each machine.",
    });
  }
  const { path: program, version } = await findQemu();
  const cacheDirectory = resolve(options.cacheDirectory);
  const jailDirectory = join(cacheDirectory, "jail");
  await mkdir(jailDirectory, { recursive: true });
  const settings = {
    program,
    launchers: new Launchers(await launcherBinary(cacheDirectory), jailDirectory),
    cgroupRoots: await findCgroupRoots(),
    kernelPath: resolve(options.kernelPath),
    initramfsPath: resolve(options.initramfsPath),
    clock: options.clock ?? systemClock,
    logger: options.logger,
  };
  const commandLineFor = (accelerator: Accelerator["name"]) =>
    typeof options.commandLine === "string" ? options.commandLine : options.commandLine(accelerator);
  const probeSettings = { ...settings, commandLine: commandLineFor("kvm") };
  const probe = { cacheDirectory, version, settings: probeSettings };
  const accelerator = await chooseAccelerator(options.accelerator ?? "auto", probe);
  if (accelerator.reason !== undefined && options.accelerator !== "tcg") {
    options.logger.warn(
      { reason: accelerator.reason },
      "machines run under emulation (TCG), about ten times slower than under KVM",
    );
  }
  const commandLine = commandLineFor(accelerator.name);
  const bootSettings = { ...settings, commandLine, accelerator: accelerator.name };
  const base = {
    accelerator: accelerator.name,
    version,
    commandLine,
    guestDigest: await digestOfFiles([settings.kernelPath, settings.initramfsPath]),
    cpuModel: await hostCpuModel(),
  };
  const templates = await TemplateStore.open(join(cacheDirectory, "templates"), base, bootSettings);
  return new QemuVmm(accelerator, version, bootSettings, templates, options.cloneTimeoutMs ?? defaultCloneTimeoutMs);
}

const defaultCloneTimeoutMs = 10_000;
/** Errors that a start without a zygote would end with as well. */
const callersFaults: ReadonlySet<VmmErrorCode> = new Set([
  "InvalidSpec",
  "NoSpace",
  "TapUnavailable",
  "DiskUnavailable",
  "CgroupUnavailable",
]);
/** How long a monitor found again may take to greet: it is idle, but the host may be overloaded. */
const greetingMs = 10_000;

class QemuVmm implements Vmm {
  readonly accelerator: Accelerator;
  readonly version: string;
  readonly templates: TemplateStore;
  readonly #settings: BootSettings;
  readonly #cloneTimeoutMs: number;
  /** Machines this object governs, by directory: a monitor talks to one client only. */
  readonly #machines = new Map<string, Promise<QemuMachine | undefined>>();

  constructor(
    accelerator: Accelerator,
    version: string,
    settings: BootSettings,
    templates: TemplateStore,
    cloneTimeoutMs: number,
  ) {
    this.accelerator = accelerator;
    this.version = version;
    this.#settings = settings;
    this.templates = templates;
    this.#cloneTimeoutMs = cloneTimeoutMs;
  }

  async boot(spec: MachineSpec, signal?: AbortSignal): Promise<Machine> {
    return await this.#start(spec, { type: "kernel" }, signal);
  }

  async fork(spec: MachineSpec, template: Template, signal?: AbortSignal): Promise<Machine> {
    if (!(template instanceof SavedTemplate)) throw new TypeError("the template is not one of this monitor");
    checkFork(spec, template);
    const clone = await this.#clone(spec, template, signal);
    if (clone !== undefined) return clone;
    const { statePath, scratchBacking } = template;
    return await template.use(async (path) => {
      const memory = { path, isShared: false };
      return await this.#start(spec, { type: "saved", memory, statePath, scratchBacking }, signal);
    });
  }

  /** Undefined when the template has no zygote that could become this machine, or it failed to. */
  async #clone(
    spec: MachineSpec,
    template: SavedTemplate,
    signal: AbortSignal | undefined,
  ): Promise<Machine | undefined> {
    const { zygote } = template;
    const [, scratch] = spec.disks;
    if (zygote === undefined || scratch?.type !== "qcow2" || !zygote.canBecome(spec)) return undefined;
    const deadline = AbortSignal.timeout(this.#cloneTimeoutMs);
    const until = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const scratchPath = cloneScratchPath(scratch.path);
    try {
      // Perhaps one of a service that was killed over it.
      await dropCloneScratch(scratch.path);
      await zygote.copyScratch(scratchPath, spec.userId);
      const machine = await zygote.hold(this.#start(spec, zygote.beginning(spec, scratchPath), until));
      await keepCloneScratch(scratch.path);
      return machine;
    } catch (error) {
      await dropCloneScratch(scratch.path);
      signal?.throwIfAborted();
      if (error instanceof VmmError && callersFaults.has(error.code)) throw error;
      const reason = describeError(error);
      this.#settings.logger.warn({ template: template.id, machine: spec.id, reason }, "a zygote made no clone");
      await template.dropZygote().catch((dropping: unknown) => {
        this.#settings.logger.warn({ template: template.id, reason: describeError(dropping) }, "a zygote left traces");
      });
      return undefined;
    }
  }

  async #start(spec: MachineSpec, beginning: Beginning, signal: AbortSignal | undefined): Promise<Machine> {
    // A second machine for a directory is refused below, without a trace here.
    if (this.#machines.has(spec.directory)) {
      return await startMachine(spec, this.#settings, beginning, () => {}, signal);
    }
    const forget = () => void this.#machines.delete(spec.directory);
    const booting = startMachine(spec, this.#settings, beginning, forget, signal);
    this.#machines.set(
      spec.directory,
      booting.catch(() => undefined),
    );
    try {
      return await booting;
    } catch (error) {
      forget();
      throw error;
    }
  }

  async openSnapshot(directory: string): Promise<Template | undefined> {
    const snapshot = await SavedTemplate.open(directory, this.#settings.launchers.path);
    try {
      await snapshot?.load();
      return snapshot;
    } catch (error) {
      this.#settings.logger.warn({ directory, reason: describeError(error) }, "a snapshot cannot be used");
      return undefined;
    }
  }

  async close(): Promise<void> {
    this.#settings.launchers.close();
    await this.templates.close();
  }

  async end(directory: string): Promise<void> {
    const known = await this.#machines.get(directory)?.catch(() => undefined);
    await known?.kill();
    await endByRecord(directory, this.#settings.clock);
  }

  async find(directory: string): Promise<Machine | undefined> {
    const known = this.#machines.get(directory);
    if (known !== undefined) return await known;
    const finding = this.#attach(directory);
    this.#machines.set(
      directory,
      finding.catch(() => undefined),
    );
    try {
      const machine = await finding;
      if (machine === undefined) this.#machines.delete(directory);
      return machine;
    } catch (error) {
      this.#machines.delete(directory);
      throw error;
    }
  }

  async #attach(directory: string): Promise<QemuMachine | undefined> {
    const record = await readMachineRecord(directory);
    if (record === undefined) return undefined;
    const identity = record.process;
    const isGone = identity === undefined || !(await isRunning(identity));
    if (record.monitorName !== undefined && record.saved !== undefined) {
      const { path } = record.saved.scratch;
      await (isGone ? dropCloneScratch(path) : keepCloneScratch(path));
    }
    if (isGone) {
      await removeMachineTraces(directory, record, this.#settings.clock);
      return undefined;
    }
    return await this.#connect(directory, record, identity);
  }

  async #connect(
    directory: string,
    record: MachineRecord,
    identity: ProcessIdentity,
  ): Promise<QemuMachine | undefined> {
    const stderr = await openStderr(identity);
    let qmp: QmpClient | undefined;
    try {
      qmp = await QmpClient.connect(join(directory, machineFiles.qmp), { timeoutMs: greetingMs });
      const answer = await qmp.execute("query-name");
      if (!isRecord(answer) || answer["name"] !== (record.monitorName ?? monitorName(record.id))) {
        throw new VmmError(`the monitor in ${directory} is not that of machine ${record.id}`, {
          code: "MonitorFailed",
          stage: "boot",
          object: record.id,
          remedy: "Something else listens on the machine's control socket; end it.",
        });
      }
    } catch (error) {
      qmp?.close();
      await stderr?.close();
      // It ended while we were looking.
      if (!(await isRunning(identity))) return await this.#attach(directory);
      throw error;
    }
    const settings = this.#settings;
    const { clock, logger } = settings;
    const onForgotten = () => void this.#machines.delete(directory);
    const parts = {
      directory,
      record,
      process: identity,
      qmp,
      child: undefined,
      stderr,
      clock,
      logger,
      onForgotten,
      settings,
    };
    const machine = new QemuMachine(parts);
    try {
      await machine.catchUp();
    } catch (error) {
      // It ended while we were looking: `exited` tells how.
      if (!(await isRunning(identity))) return machine;
      // A session left open would keep every later one waiting.
      machine.detach();
      throw error;
    }
    return machine;
  }
}

/** Saved state describes the slots as they were: a machine that differs would not take it. */
function checkFork(spec: MachineSpec, template: SavedTemplate): void {
  const { id, shape } = template;
  const [image, scratch] = spec.disks;
  const problem =
    spec.vcpus !== shape.vcpus || spec.memoryMiB !== shape.memoryMiB
      ? `template ${id} has ${shape.vcpus} vCPUs and ${shape.memoryMiB} MiB`
      : spec.network === undefined
        ? "it has no network"
        : image?.type !== "parts"
          ? "its first disk is not read-only"
          : scratch?.type !== "qcow2" || scratch.sizeBytes !== shape.scratchBytes
            ? `template ${id} has a scratch disk of ${shape.scratchBytes} bytes`
            : template.scsiDisks !== undefined && spec.disks.length !== template.scsiDisks + 2
              ? `${id} has ${template.scsiDisks + 2} disks`
              : undefined;
  if (problem === undefined) return;
  throw new VmmError(`machine ${spec.id} cannot be forked: ${problem}`, {
    code: "InvalidSpec",
    stage: "boot",
    object: spec.id,
    remedy: "Correct the machine's description, or boot it cold; nothing was started.",
  });
}

/**
 * What the launcher gave the monitor as standard error. A monitor in a guest's hands may have closed it, or put a pipe
 * there whose opening would wait for ever: then there is none, and the machine is governed all the same.
 */
async function openStderr({ pid }: ProcessIdentity): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(`/proc/${pid}/fd/2`, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return undefined;
}
