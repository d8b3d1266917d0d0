import { constants, type FileHandle, mkdir, open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Clock, type Logger, systemClock } from "@isopod/base";
import type { Accelerator, Machine, MachineSpec, Vmm } from "../contract.ts";
import { VmmError } from "../errors.ts";
import { type AcceleratorChoice, chooseAccelerator } from "./accelerator.ts";
import { type BootSettings, bootMachine } from "./boot-machine.ts";
import { findCgroupRoots } from "./cgroup.ts";
import { launcherBinary } from "./launcher-binary.ts";
import { machineFiles, type MachineRecord, readMachineRecord } from "./machine-record.ts";
import { isRunning, type ProcessIdentity } from "./process-identity.ts";
import { findQemu } from "./qemu-program.ts";
import { QemuMachine, removeMachineTraces } from "./qemu-machine.ts";
import { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-codec.ts";

export interface QemuVmmOptions {
  /** Holds the unpacked launcher and the result of the KVM probe; created when missing. */
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
  await mkdir(cacheDirectory, { recursive: true });
  const settings = {
    program,
    launcherPath: await launcherBinary(cacheDirectory),
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
  return new QemuVmm(accelerator, version, { ...settings, commandLine, accelerator: accelerator.name });
}

/** How long a monitor found again may take to greet: it is idle, but the host may be overloaded. */
const greetingMs = 10_000;

class QemuVmm implements Vmm {
  readonly accelerator: Accelerator;
  readonly version: string;
  readonly #settings: BootSettings;
  /** Machines this object governs, by directory: a monitor talks to one client only. */
  readonly #machines = new Map<string, Promise<QemuMachine | undefined>>();

  constructor(accelerator: Accelerator, version: string, settings: BootSettings) {
    this.accelerator = accelerator;
    this.version = version;
    this.#settings = settings;
  }

  async boot(spec: MachineSpec, signal?: AbortSignal): Promise<Machine> {
    // A second machine for a directory is refused below, without a trace here.
    if (this.#machines.has(spec.directory)) return await bootMachine(spec, this.#settings, () => {}, signal);
    const forget = () => void this.#machines.delete(spec.directory);
    const booting = bootMachine(spec, this.#settings, forget, signal);
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
    if (identity === undefined || !(await isRunning(identity))) {
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
      if (!isRecord(answer) || answer["name"] !== `isopod-${record.id}`) {
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
    const { clock, logger } = this.#settings;
    const onForgotten = () => void this.#machines.delete(directory);
    const parts = { directory, record, process: identity, qmp, child: undefined, stderr, clock, logger, onForgotten };
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
