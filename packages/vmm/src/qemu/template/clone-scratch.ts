import { rename, rm } from "node:fs/promises";
import { systemErrorCode } from "@isopod/base";

/**
 * A clone's scratch disk is made beside the one that its machine was given, which stays as it is in case there is no
 * clone, and takes its place when there is one.
 */
export function cloneScratchPath(scratchPath: string): string {
  return `${scratchPath}.clone`;
}

export async function dropCloneScratch(scratchPath: string): Promise<void> {
  await rm(cloneScratchPath(scratchPath), { force: true });
}

/** Also for a clone that was found again: whoever made it may have been killed before. */
export async function keepCloneScratch(scratchPath: string): Promise<void> {
  try {
    await rename(cloneScratchPath(scratchPath), scratchPath);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
}
