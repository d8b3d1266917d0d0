import { IsopodError } from "@isopod/base";

/**
 * - `BadPatch`: the patch is malformed, whatever it is applied to.
 * - `CannotApply`: the patch does not fit the object (a failed `test`, a path that is not there).
 */
export const patchErrorCodes = ["BadPatch", "CannotApply"] as const;
export type PatchErrorCode = (typeof patchErrorCodes)[number];

export class PatchError extends IsopodError<PatchErrorCode> {
  constructor(code: PatchErrorCode, message: string, cause?: unknown) {
    super(message, { code, stage: "patch", cause });
  }
}
