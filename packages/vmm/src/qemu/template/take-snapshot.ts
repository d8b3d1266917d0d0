import { chmod, constants, copyFile, link, mkdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { systemErrorCode } from "@isopod/base";
import type { SnapshotSummary } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { BackingFile } from "../block-nodes.ts";
import type { SavedParts } from "../machine-record.ts";
import { type BootSettings, startMachine } from "../start-machine.ts";
import { endByRecord, removeWorkDirectory } from "../end-by-record.ts";
import { sealTemplate } from "./save-machine.ts";
import { diskBytesOf, stampOfFiles, templateFiles } from "./template-files.ts";
import { imageBytes, makeWorkMemory, workMachine } from "./work-machine.ts";

/** What a running machine does for its snapshot. */
export interface Source {
  readonly id: string;
  readonly saved: SavedParts;
  /** Writes devices and memory into a new file; the guest stands still from its beginning on. */
  save(path: string): Promise<void>;
  /** Lets the guest go on, unless it was paused before. */
  goOn(): Promise<void>;
}

/**
 * Saves a machine into a new directory as a template. While the guest stands still devices and memory are written as
 * one stream, as in a migration, and the scratch disk is copied (a reflink where the file system can).
 * Then another monitor loads the stream into shared memory and saves the devices alone, which is what forks start from.
 * A failure, an abort included, leaves nothing behind, and the guest goes on.
 */
export async function takeSnapshot(
  directory: string,
  source: Source,
  settings: BootSettings,
  signal: AbortSignal | undefined,
): Promise<SnapshotSummary> {
  const unfinished = `${directory}.unfinished`;
  const streamPath = join(unfinished, "stream");
  try {
    await removeWorkDirectory(unfinished, settings.clock);
    await mkdir(unfinished, { recursive: true, mode: 0o700 });
    const pausedMs = await freeze(unfinished, streamPath, source, settings);
    signal?.throwIfAborted();
    await convert(unfinished, streamPath, source, settings, signal);
    const sizeBytes = await diskBytesOf(unfinished);
    await rename(unfinished, directory);
    return { pausedMs, sizeBytes };
  } catch (cause) {
    await removeWorkDirectory(unfinished, settings.clock);
    signal?.throwIfAborted();
    throw snapshotFailure(source.id, cause);
  }
}

async function freeze(directory: string, streamPath: string, source: Source, settings: BootSettings): Promise<number> {
  const { scratch } = source.saved;
  const { clock } = settings;
  const stoppedAtMs = clock.monotonicMs();
  try {
    await source.save(streamPath);
    const copy = join(directory, templateFiles.scratch);
    await copyFile(scratch.path, copy, constants.COPYFILE_FICLONE);
    await chmod(copy, 0o400);
  } finally {
    await source.goOn();
  }
  return clock.monotonicMs() - stoppedAtMs;
}

async function convert(
  directory: string,
  streamPath: string,
  { id: machineId, saved }: Source,
  settings: BootSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { clock } = settings;
  const launcherPath = settings.launchers.path;
  const machineDirectory = join(directory, "machine");
  const memoryPath = join(directory, "memory");
  await mkdir(machineDirectory, { mode: 0o711 });
  await makeWorkMemory(memoryPath, saved.memoryMiB);
  const scratchBacking = await keepBacking(directory, saved.scratch.backing);
  // Nothing reads its disks: the guest does not run here.
  const disks = saved.serials.map((serial) => ({ type: "placeholder", serial, sizeBytes: imageBytes }) as const);
  const spec = workMachine(`snapshot-${process.pid}-${machineId}`.slice(0, 63), machineDirectory, saved, disks);
  const memory = { path: memoryPath, isShared: true };
  const beginning = { type: "saved", memory, statePath: streamPath, scratchBacking: [], isHeld: true } as const;
  const machine = await startMachine(spec, settings, beginning, () => {}, signal);
  try {
    await machine.untilLoaded(signal);
    const path = join(directory, templateFiles.state);
    await machine.save({ path, launcherPath, isMemoryIncluded: false, clock, signal });
  } finally {
    await machine.kill();
  }
  await endByRecord(machineDirectory, clock);
  await rm(machineDirectory, { recursive: true });
  await rm(streamPath);
  const shape = { vcpus: saved.vcpus, memoryMiB: saved.memoryMiB, scratchBytes: saved.scratch.sizeBytes };
  const builtMicros = Number(clock.nowMicros());
  const id = `snapshot-${machineId}`;
  const scsiDisks = Math.max(0, saved.serials.length - 2);
  const scratchStamp = await stampOfFiles(scratchBacking.map(({ path }) => join(directory, basename(path))));
  const parts = { id, shape, memoryPath, scratchBacking, scratchStamp, builtMicros, scsiDisks };
  await sealTemplate(directory, { ...parts, launcherPath });
}

/** The disks below get a name of the snapshot's own, so that it outlives the template its machine came from. */
async function keepBacking(directory: string, backing: readonly BackingFile[]): Promise<readonly BackingFile[]> {
  // The directory is renamed when it is whole.
  const final = directory.replace(/\.unfinished$/, "");
  return await Promise.all(
    backing.map(async ({ format, path }, index) => {
      const name = `below-${index}`;
      try {
        await link(path, join(directory, name));
      } catch (error) {
        if (systemErrorCode(error) !== "EXDEV") throw error;
        await copyFile(path, join(directory, name), constants.COPYFILE_FICLONE);
      }
      return { format, path: join(final, name) };
    }),
  );
}

function snapshotFailure(id: string, cause: unknown): VmmError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new VmmError(`machine ${id} could not be saved: ${said}`, {
    code: ["ENOSPC", "EDQUOT"].includes(systemErrorCode(cause) ?? "") ? "NoSpace" : "SnapshotFailed",
    stage: "snapshot",
    object: id,
    remedy: "It runs on as before. Look for a full disk, then try again.",
    cause,
  });
}
