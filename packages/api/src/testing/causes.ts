import { ApiError, type StatusReason } from "../status-error.ts";
import type { StatusCause } from "../types/status.ts";

/** For `assert.throws`: the error is that status, with such a message. */
export function isReasonIn(reason: StatusReason, message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof ApiError && error.code === reason && message.test(error.message);
}

/** Causes as kubectl shows them: `field: message`. */
export function causeTexts(causes: readonly StatusCause[]): readonly string[] {
  return causes.map((cause) => (cause.field === undefined ? cause.message : `${cause.field}: ${cause.message}`));
}
