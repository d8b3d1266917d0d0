import { isObject, type JsonObject, setOwn } from "../schema/conform.ts";

/** JSON merge patch, RFC 7396: null removes, objects merge, all else replaces. Neither argument is changed. */
export function applyMergePatch(current: unknown, patch: JsonObject): JsonObject {
  const result: Record<string, unknown> = isObject(current) ? { ...current } : {};
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete result[key];
    else setOwn(result, key, isObject(value) ? applyMergePatch(ownValue(result, key), value) : value);
  }
  return result;
}

/** A property of the object itself, not of what it inherits from (`constructor`, `toString`). */
export function ownValue(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
