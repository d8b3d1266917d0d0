import type { ChildProcess } from "node:child_process";
import type { FileHandle } from "node:fs/promises";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, describeError, type Logger } from "@isopod/base";
import type { Machine, MachineExit, SnapshotSummary } from "../contract.ts";
import { VmmError } from "../errors.ts";
import { limitCgroupCpu, limitCgroupMemory, removeCgroup, wasKilledForMemory } from "./cgroup.ts";
import { consoleRingBytes } from "./command-line.ts";
import { machineFiles, type MachineRecord } from "./machine-record.ts";
import { isRunning, type ProcessIdentity } from "./process-identity.ts";
import type { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-codec.ts";
import type { BootSettings } from "./start-machine.ts";
import { saveState } from "./template/save-machine.ts";
import { hideImages, showImages } from "./template/hide-images.ts";
import { takeSnapshot } from "./template/take-snapshot.ts";

/** How much of each log is kept in a {@link MachineExit}. */
const tailBytes = 4096;
/** The most of the monitor's standard error that is kept; the file in memory has this size and cannot grow. */
export const stderrBytes = 64 * 1024;
/** How long a monitor told to quit, or one whose control socket is gone, has before it is killed. */
const graceMs = 3000;
/** The monitor, its translated code and its buffers, beside all of the guest's memory. */
const snapshotSlackMiB = 320;
/** Between two looks at a machine that loads its state. */
const loadPollMs = 5;
/** Of a migration that is not over. */
const savingStatuses: ReadonlySet<unknown> = new Set(["setup", "active", "device", "cancelling"]);
/** How long a machine stopped by a full host disk waits before it tries again. */
const noSpaceRetryMs = 5000;
const goOnRetryMs = 1000;

export interface QemuMachineParts {
  readonly directory: string;
  readonly record: MachineRecord;
  readonly process: ProcessIdentity;
  readonly qmp: QmpClient;
  /** The monitor, when this process started it. */
  readonly child: ChildProcess | undefined;
  /** The monitor's standard error, if it still has one; owned by the machine from now on. */
  readonly stderr: FileHandle | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Settles when the monitor is in its cgroup; absent for one that began in it. A machine that cannot be is ended. */
  readonly joined?: Promise<void>;
  /** For the machines that a snapshot takes. */
  readonly settings: BootSettings;
  /** Called once, when the machine is gone or detached. */
  readonly onForgotten: () => void;
}

/**
 * A running monitor. It is `running` until the guest ends itself, `kill` ends it, or the process dies; each way leads
 * to the end of the process, and that alone settles `exited`. `detach` leaves it running and this object without use.
 */
export class QemuMachine implements Machine {
  readonly id: string;
  readonly pid: number;
  readonly directory: string;
  readonly agentSocketPath: string;
  readonly exited: Promise<MachineExit>;
  readonly #parts: QemuMachineParts;
  readonly #detached = new AbortController();
  #console = "";
  #hasGuestEnded = false;
  #isKilled = false;
  #isGone = false;
  #isWaitingForSpace = false;
  #isPaused = false;
  #isBeingSaved = false;

  constructor(parts: QemuMachineParts) {
    this.#parts = parts;
    this.id = parts.record.id;
    this.pid = parts.process.pid;
    this.directory = parts.directory;
    this.agentSocketPath = join(parts.directory, machineFiles.agent);
    parts.qmp.onEvent((name, data) => this.#onEvent(name, data));
    const ending = Promise.withResolvers<MachineExit>();
    this.exited = ending.promise;
    void this.#settle(ending.resolve);
    parts.joined?.catch((error: unknown) => {
      parts.logger.error({ machine: this.id, error }, "a machine could not join its cgroup and is ended");
      void this.#killProcess();
    });
  }

  async limitCpu(): Promise<void> {
    // A machine that has just ended has no cgroup to limit any more.
    if (!this.#isGone) await limitCgroupCpu(this.#parts.record.cgroups, this.#parts.record.cpuMilli);
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    // Nothing of a machine whose one writable disk ends with it is worth a word.
    const isNothingKept = (this.#parts.record.saved?.serials.length ?? 0) === 2;
    if (!this.#isGone) await (isNothingKept ? this.#endAtOnce() : this.#end());
    await this.exited;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  async pause(): Promise<void> {
    const wasPaused = this.#isPaused;
    // Before it stands still: nothing that was waiting lets it go on behind this.
    this.#isPaused = true;
    try {
      await this.#parts.qmp.execute("stop");
    } catch (error) {
      this.#isPaused = wasPaused;
      throw error;
    }
  }

  async resume(): Promise<void> {
    await showImages(this.#parts.qmp);
    await this.#parts.qmp.execute("cont");
    this.#isPaused = false;
  }

  async snapshot(directory: string, signal?: AbortSignal): Promise<SnapshotSummary> {
    const { settings, clock } = this.#parts;
    const { id, saved, cgroups } = this.#parts.record;
    if (saved === undefined) {
      throw new VmmError(
        `machine ${id} has no network, image or scratch disk of its own, or was made by another version`,
        {
          code: "SnapshotFailed",
          stage: "snapshot",
          object: id,
          remedy: "Start it again, then take the snapshot.",
        },
      );
    }
    // Every page is looked at: of those never touched, the few in a template's small holes are made for that.
    await limitCgroupMemory(cgroups, saved.memoryMiB + snapshotSlackMiB);
    const launcherPath = settings.launchers.path;
    const source = {
      id,
      saved,
      save: async (path: string) => {
        this.#isBeingSaved = true;
        await this.#parts.qmp.execute("stop");
        await hideImages(this.#parts.qmp);
        await this.save({ path, launcherPath, isMemoryIncluded: true, clock, signal });
      },
      goOn: async () => {
        await this.#insist(async () => {
          await showImages(this.#parts.qmp);
          if (!this.#isPaused) await this.#parts.qmp.execute("cont");
        });
        this.#isBeingSaved = false;
      },
    };
    return await takeSnapshot(directory, source, settings, signal);
  }

  /** Writes the machine's state into a file, see {@link saveState}; it is stopped afterwards. */
  async save(options: Parameters<typeof saveState>[1]): Promise<void> {
    await saveState(this.#parts.qmp, options);
  }

  /** Resolves when a machine that begins with saved state has loaded it. Rejects when it cannot, or ended. */
  async untilLoaded(signal: AbortSignal | undefined): Promise<void> {
    const { qmp, clock } = this.#parts;
    for (;;) {
      const answer = await qmp.execute("query-status");
      if (isRecord(answer) && answer["status"] !== "inmigrate") return;
      await clock.sleep(loadPollMs, signal);
    }
  }

  /** The descriptors in the monitor's sets: those it was given, it has copied. Of each set, the last. */
  async descriptorSets(): Promise<ReadonlyMap<number, number>> {
    const answer = await this.#parts.qmp.execute("query-fdsets");
    const numbers = new Map<number, number>();
    for (const set of Array.isArray(answer) ? answer.filter(isRecord) : []) {
      for (const one of Array.isArray(set["fds"]) ? set["fds"].filter(isRecord) : []) {
        if (typeof set["fdset-id"] === "number" && typeof one["fd"] === "number")
          numbers.set(set["fdset-id"], one["fd"]);
      }
    }
    return numbers;
  }

  detach(): void {
    if (this.#isGone || this.#detached.signal.aborted) return;
    this.#detached.abort();
    this.#parts.qmp.close();
    this.#parts.child?.unref();
    void this.#parts.stderr?.close();
    this.#parts.onForgotten();
  }

  /** Acts on what happened before anyone listened; for a machine found again. */
  async catchUp(): Promise<void> {
    await this.#endSaving();
    const answer = await this.#parts.qmp.execute("query-status");
    const status = isRecord(answer) ? answer["status"] : undefined;
    if (status === "shutdown" || status === "guest-panicked") this.#onEvent("SHUTDOWN", { guest: true });
    // Also one that was stopped for a snapshot when the service ended: its owner knows which it was, and resumes it.
    if (status === "paused" || status === "postmigrate") this.#isPaused = true;
    if (status === "io-error") this.#onEvent("BLOCK_IO_ERROR", { action: "stop" });
  }

  /** A snapshot that nobody waits for any more would stop the guest at its end, also one that was resumed meanwhile. */
  async #endSaving(): Promise<void> {
    const { qmp, clock } = this.#parts;
    await qmp.execute("migrate_cancel");
    const deadlineMs = clock.monotonicMs() + graceMs;
    while (clock.monotonicMs() < deadlineMs) {
      const answer = await qmp.execute("query-migrate");
      if (!isRecord(answer) || !savingStatuses.has(answer["status"])) return;
      await clock.sleep(loadPollMs);
    }
  }

  #onEvent(name: string, data: Readonly<Record<string, unknown>>): void {
    if (name === "SHUTDOWN" && data["guest"] === true && !this.#hasGuestEnded) {
      this.#hasGuestEnded = true;
      void this.#end();
    }
    if (name === "BLOCK_IO_ERROR" && data["action"] === "stop") void this.#continueLater();
  }

  /** Keeps the console's tail and ends the monitor, politely at first: a disk that outlives it is then consistent. */
  async #end(): Promise<void> {
    const { qmp, clock } = this.#parts;
    try {
      await this.#readConsole();
      await qmp.execute("quit", {}, graceMs);
      const timer = new AbortController();
      await Promise.race([this.exited, clock.sleep(graceMs, timer.signal)]);
      timer.abort();
    } catch {
      // A monitor that does not answer, or is gone already: either way the signal below settles it.
    }
    if (!this.#isGone) await this.#endAtOnce();
  }

  async #endAtOnce(): Promise<void> {
    await this.#killProcess();
    // Should the signal not have gone out, whoever waits for the end sends it again.
    this.#parts.qmp.close();
  }

  async #readConsole(): Promise<void> {
    const answer = await this.#parts.qmp.execute(
      "ringbuf-read",
      { device: "console", size: consoleRingBytes, format: "base64" },
      graceMs,
    );
    if (typeof answer !== "string") return;
    this.#console = (this.#console + Buffer.from(answer, "base64").toString("latin1")).slice(-tailBytes);
  }

  async #killProcess(): Promise<void> {
    try {
      // Checked right before, so that no later process with the same number is hit.
      if (await isRunning(this.#parts.process)) process.kill(this.pid, "SIGKILL");
    } catch {
      // It ended between the check and the signal, or the check failed for want of descriptors.
    }
  }

  /** QEMU stops a machine whose writable disk finds the host's disk full; it goes on once there is room again. */
  async #continueLater(): Promise<void> {
    if (this.#isWaitingForSpace) return;
    this.#isWaitingForSpace = true;
    this.#parts.logger.warn(
      { machine: this.id, retryMs: noSpaceRetryMs },
      "the host's disk is full: the machine is stopped until there is space again",
    );
    try {
      await this.#parts.clock.sleep(noSpaceRetryMs, this.#detached.signal);
      this.#isWaitingForSpace = false;
      await this.#insist(async () => {
        // Whoever stopped it meanwhile lets it go on.
        if (!this.#isPaused && !this.#isBeingSaved) await this.#parts.qmp.execute("cont");
      });
    } catch {
      // The machine was detached or ended while it waited.
    }
  }

  /** Repeats what a guest stands still without, as a monitor on a busy host may answer late. Rejects once it is gone. */
  async #insist(action: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.#parts;
    for (;;) {
      try {
        return await action();
      } catch (error) {
        if (this.#isGone || this.#detached.signal.aborted) throw error;
        const reason = describeError(error);
        logger.warn({ machine: this.id, reason }, "a machine that stands still does not go on yet");
        await clock.sleep(goOnRetryMs, this.#detached.signal);
      }
    }
  }

  async #settle(resolve: (exit: MachineExit) => void): Promise<void> {
    const { child, qmp, record, stderr, clock, logger } = this.#parts;
    const reaped = child === undefined ? undefined : exitOf(child);
    // The control socket ends with the process, at once, whoever its parent is.
    await qmp.closed;
    if (this.#detached.signal.aborted) return;
    await this.#awaitEnd();
    await this.#parts.joined?.catch(() => {});
    const how = await reaped;
    this.#isGone = true;

    let stderrTail = stderr === undefined ? "" : await readTail(stderr).catch(() => "");
    await stderr?.close().catch(() => {});
    if (await wasKilledForMemory(record.cgroups)) {
      stderrTail += "The host ended the monitor: it outgrew the memory bound of its cgroup.\n";
    }
    try {
      await removeMachineTraces(this.directory, record, clock);
    } catch (error) {
      logger.warn({ machine: this.id, error }, "something of an ended machine could not be removed");
    }
    this.#parts.onForgotten();
    resolve({
      exitCode: how?.exitCode,
      signal: how?.signal,
      isExpected: this.#isKilled || (this.#hasGuestEnded && !this.#console.includes("Kernel panic")),
      stderrTail,
      consoleTail: this.#console,
    });
  }

  async #awaitEnd(): Promise<void> {
    const { clock, process: identity } = this.#parts;
    const deadlineMs = clock.monotonicMs() + graceMs;
    // A look that fails, for want of descriptors, says nothing: nobody hears an error here, so it would end the service.
    while (await isRunning(identity).catch(() => true)) {
      // Without its control socket a monitor cannot be governed, so it must not go on.
      if (clock.monotonicMs() > deadlineMs) await this.#killProcess();
      await clock.sleep(5);
    }
  }
}

/** Removes the cgroup and the files of a machine whose process is gone; its directory stays, for its owner to delete. */
export async function removeMachineTraces(directory: string, record: MachineRecord, clock: Clock): Promise<void> {
  await removeCgroup(record.cgroups, clock);
  // The record last: as long as it is there, whoever finds it repeats what was not finished.
  for (const name of [machineFiles.qmp, machineFiles.agent, machineFiles.record]) {
    await rm(join(directory, name), { force: true });
  }
}

interface ChildExit {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

async function exitOf(child: ChildProcess): Promise<ChildExit> {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise<void>((resolve) => child.once("exit", () => resolve()));
  }
  return { exitCode: child.exitCode ?? undefined, signal: child.signalCode ?? undefined };
}

/** The last of what was written to the fixed-size file; the unwritten rest of it is zeroes. */
export async function readTail(stderr: FileHandle): Promise<string> {
  const buffer = Buffer.alloc(stderrBytes);
  const { bytesRead } = await stderr.read(buffer, 0, stderrBytes, 0);
  const end = buffer.indexOf(0);
  const written = buffer.subarray(0, end === -1 ? bytesRead : Math.min(end, bytesRead));
  return written.subarray(-tailBytes).toString("latin1");
}
