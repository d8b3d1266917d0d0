export type { ScratchDisk, ScratchDisks } from "./contract.ts";
export { createScratchDisks, type ScratchDisksOptions } from "./scratch-disks.ts";
export { VolumeError, type VolumeErrorCode, volumeErrorCodes } from "./volume-error.ts";
