import { CommandError, IsopodError, systemErrorCode } from "@isopod/base";

export const volumeErrorCodes = ["NoSpace", "MissingProgram", "InvalidSize", "CommandFailed"] as const;
export type VolumeErrorCode = (typeof volumeErrorCodes)[number];

/** What goes wrong while an instance's disk is made; `object` is the path. */
export class VolumeError extends IsopodError<VolumeErrorCode> {
  constructor(
    message: string,
    details: {
      readonly code: VolumeErrorCode;
      readonly object: string;
      readonly remedy: string;
      readonly cause?: unknown;
    },
  ) {
    super(message, { ...details, stage: "scratch" });
  }
}

/** Translates the failure of the file system or of mkfs, once, at the place that called it. */
export function scratchError(what: string, path: string, cause: unknown): unknown {
  const system = systemErrorCode(cause);
  const command = cause instanceof CommandError ? cause : undefined;
  if (system === "ENOSPC" || system === "EDQUOT" || /No space left|quota exceeded/i.test(command?.stderr ?? "")) {
    return new VolumeError(`${what} at ${path}: no space is left`, {
      code: "NoSpace",
      object: path,
      remedy: "Free space in the data directory, or move it to a larger disk.",
      cause,
    });
  }
  if (command?.code === "MissingProgram") {
    return new VolumeError(`${what} at ${path} needs the program ${command.object}, which is missing`, {
      code: "MissingProgram",
      object: path,
      remedy: command.remedy ?? "Install it.",
      cause,
    });
  }
  if (command === undefined && system === undefined) return cause;
  return new VolumeError(`${what} at ${path} failed: ${command?.stderr ?? system}`, {
    code: "CommandFailed",
    object: path,
    remedy:
      command === undefined
        ? "Check that the directory exists and that the node may write to it."
        : "mkfs.ext4 of e2fsprogs 1.47 or later is needed; its own words are above.",
    cause,
  });
}
