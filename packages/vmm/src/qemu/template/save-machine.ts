import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, runCommand } from "@isopod/base";
import type { TemplateShape } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import type { BackingFile } from "../block-nodes.ts";
import { isRecord } from "../qmp-codec.ts";
import type { QmpClient } from "../qmp-client.ts";
import { templateFiles, writeManifest } from "./template-files.ts";
import { digestOfFiles } from "./template-key.ts";

/** Between two looks at a migration. */
const pollMs = 5;

/**
 * Writes a machine's device state, and its memory unless that is in a shared file, into a new file. The machine is
 * stopped afterwards; one whose memory is written too is stopped before, so that each page is written once. An aborted signal cancels it, and the machine goes on.
 */
export async function saveState(
  qmp: QmpClient,
  options: {
    readonly path: string;
    readonly launcherPath: string;
    readonly isMemoryIncluded: boolean;
    readonly clock: Clock;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { path, launcherPath, isMemoryIncluded, clock, signal } = options;
  signal?.throwIfAborted();
  const capabilities = [{ capability: "x-ignore-shared", state: !isMemoryIncluded }];
  await qmp.execute("migrate-set-capabilities", { capabilities });
  await qmp.sendNewFile(launcherPath, "state", path);
  // Unbounded: the file is on this host's disk.
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 1024 ** 4 });
  await qmp.execute("migrate", { uri: "fd:state" });
  for (;;) {
    const answer = await qmp.execute("query-migrate");
    const status = isRecord(answer) ? answer["status"] : undefined;
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") {
      signal?.throwIfAborted();
      const reason = isRecord(answer) ? answer["error-desc"] : undefined;
      throw new VmmError(`the state of a machine could not be saved: ${String(reason ?? status)}`, {
        code: "TemplateFailed",
        stage: "template",
        object: path,
        remedy: "The machine goes on as before; look for a full disk, then try again.",
      });
    }
    if (signal?.aborted === true && status !== "cancelling") await qmp.execute("migrate_cancel");
    await clock.sleep(pollMs);
  }
}

/** Makes a template of what a machine that ended left in its directory: shared memory file, state, scratch disk. */
export async function sealTemplate(
  directory: string,
  parts: {
    readonly id: string;
    readonly shape: TemplateShape;
    readonly memoryPath: string;
    readonly scratchBacking: readonly BackingFile[];
    readonly scratchStamp: string;
    readonly builtMicros: number;
    readonly launcherPath: string;
    readonly scsiDisks?: number;
  },
): Promise<void> {
  const { memoryPath, launcherPath, ...manifest } = parts;
  const packed = join(directory, templateFiles.memory);
  await runCommand(launcherPath, ["pack", memoryPath, packed]);
  await rm(memoryPath);
  const paths = [packed, join(directory, templateFiles.state), join(directory, templateFiles.scratch)];
  await writeManifest(directory, { ...manifest, digest: await digestOfFiles(paths) });
}
