import { isObject, setOwn } from "../schema/conform.ts";
import { PatchError } from "./patch-error.ts";

/** Keys of a strategic merge patch that are not fields. */
export const directiveKey = "$patch";
export const retainKeysKey = "$retainKeys";
export const deleteFromListPrefix = "$deleteFromPrimitiveList/";
export const setElementOrderPrefix = "$setElementOrder/";

export function unknownDirective(directive: unknown): PatchError {
  return new PatchError("BadPatch", `unknown patch type: ${JSON.stringify(directive)} in map`);
}

/** What an addition leaves: no nulls, no directives; an object marked `$patch` adds nothing. */
export function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(withoutDirectives).filter((element) => element !== undefined);
  }
  if (!isObject(value)) return value;
  if (Object.hasOwn(value, directiveKey)) return undefined;
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    if (isDirective(key) || value[key] === null) continue;
    const kept = withoutDirectives(value[key]);
    if (kept !== undefined) setOwn(result, key, kept);
  }
  return result;
}

function isDirective(key: string): boolean {
  return key === retainKeysKey || key.startsWith(setElementOrderPrefix) || key.startsWith(deleteFromListPrefix);
}
