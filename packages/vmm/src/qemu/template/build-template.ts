import { chmod, chown, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { greetGuest, placeholderImage } from "@isopod/guest";
import type { MakeScratch, TemplateShape } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { SlottedMachine } from "../command-line.ts";
import { type BootSettings, startMachine } from "../start-machine.ts";
import { endByRecord, removeWorkDirectory } from "../end-by-record.ts";
import { sealTemplate } from "./save-machine.ts";
import { stampOfFiles, templateFiles } from "./template-files.ts";
import { imageBytes, makeWorkMemory, workMachine, workUserId } from "./work-machine.ts";

/** Under emulation on a busy host a boot takes seconds; one that takes this long does not come. */
const bootMs = 120_000;
/** For what the guest does behind its answer, once in its life: clock refinement after a second, first statistics. */
const settleMs = 3000;
/** Boots a machine into a new directory, saves it there and ends it. A failure leaves nothing behind. */
export async function buildTemplate(
  directory: string,
  id: string,
  shape: TemplateShape,
  makeScratch: MakeScratch,
  settings: BootSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const machineDirectory = join(directory, "machine");
  try {
    await mkdir(machineDirectory, { mode: 0o711 });
    const scratchPath = join(directory, templateFiles.scratch);
    const { backingPath } = await makeScratch(scratchPath, workUserId);
    const memoryPath = join(directory, "memory");
    await makeWorkMemory(memoryPath, shape.memoryMiB);
    const imagePath = join(directory, "image");
    await writeFile(imagePath, placeholderImage());
    await truncate(imagePath, imageBytes);
    const machine = workMachine(`template-${id}-${process.pid}`, machineDirectory, shape, [
      { type: "parts", serial: "image", parts: [{ path: imagePath, sizeBytes: imageBytes }] },
      { type: "qcow2", serial: "scratch", path: scratchPath, backingPath, sizeBytes: shape.scratchBytes },
    ]);
    await save(machine, memoryPath, directory, settings, signal);
    await chmod(scratchPath, 0o400);
    await chown(scratchPath, 0, 0);
    const builtMicros = Number(settings.clock.nowMicros());
    const scratchBacking = [{ format: "raw", path: backingPath } as const];
    const launcherPath = settings.launchers.path;
    const scratchStamp = await stampOfFiles([backingPath]);
    const saved = { id, shape, memoryPath, scratchBacking, scratchStamp, builtMicros };
    await sealTemplate(directory, { ...saved, launcherPath });
    await endByRecord(machineDirectory, settings.clock);
    await rm(machineDirectory, { recursive: true });
    await rm(imagePath);
  } catch (error) {
    await removeWorkDirectory(directory, settings.clock);
    throw error;
  }
}

async function save(
  spec: SlottedMachine,
  memoryPath: string,
  directory: string,
  settings: BootSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { clock, launchers } = settings;
  const beginning = { type: "kernel", memory: { path: memoryPath, isShared: true } } as const;
  const machine = await startMachine(spec, settings, beginning, () => {}, signal);
  try {
    const gone = new AbortController();
    void machine.exited.then((exit) =>
      gone.abort(
        new VmmError(`the machine of a template ended while it booted: ${exit.stderrTail}${exit.consoleTail}`.trim(), {
          code: "TemplateFailed",
          stage: "template",
          object: spec.id,
          remedy: "Instances are booted cold meanwhile; the monitor's words above name the cause.",
        }),
      ),
    );
    const until = signal === undefined ? gone.signal : AbortSignal.any([gone.signal, signal]);
    // Hung up at once: it is to be saved with nothing said to it.
    (await greetGuest({ socketPath: machine.agentSocketPath, timeoutMs: bootMs, signal: until }))[Symbol.dispose]();
    await clock.sleep(settleMs, until);
    // Of a running machine, so that its forks run on by themselves.
    const path = join(directory, templateFiles.state);
    await machine.save({ path, launcherPath: launchers.path, isMemoryIncluded: false, clock, signal });
  } finally {
    await machine.kill();
  }
}
