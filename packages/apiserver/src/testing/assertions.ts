import { apiErrorIn } from "@isopod/api";

/** For `assert.throws` and `assert.rejects`: an `ApiError` of that HTTP status. */
export function isApiErrorCode(code: number): (error: unknown) => boolean {
  return (error) => apiErrorIn(error)?.status.code === code;
}
