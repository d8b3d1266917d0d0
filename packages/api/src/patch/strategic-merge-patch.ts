import { isObject, type JsonObject, setOwn } from "../schema/conform.ts";
import type { Field, FieldType } from "../schema/object-type.ts";
import {
  deleteFromListPrefix,
  directiveKey,
  retainKeysKey,
  setElementOrderPrefix,
  unknownDirective,
  withoutDirectives,
} from "./directives.ts";
import { mergeLists } from "./merge-list.ts";
import { ownValue } from "./merge-patch.ts";
import { PatchError } from "./patch-error.ts";
import { orderList } from "./set-element-order.ts";

/**
 * Kubernetes's strategic merge patch, as k8s.io/apimachinery's `strategicpatch` applies it on the server: objects
 * merge, lists merge by the key their type declares, and directives say the rest (`$patch`, `$retainKeys`,
 * `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`). Neither argument is changed.
 * Throws {@link PatchError}.
 */
export function applyStrategicMergePatch(current: JsonObject, patch: JsonObject, type: FieldType): JsonObject {
  const directive = ownValue(patch, directiveKey);
  if (directive === "replace") {
    const { [directiveKey]: _, ...replacement } = patch;
    return replacement;
  }
  if (directive === "delete") return {};
  if (directive !== undefined) throw unknownDirective(directive);

  const result: Record<string, unknown> = { ...current };
  const rest: Record<string, unknown> = { ...patch };
  retainKeys(result, rest);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(setElementOrderPrefix)) setElementOrder(result, rest, key, type);
  }
  for (const key of Object.keys(rest)) mergeField(result, key, rest[key], type);
  return result;
}

function mergeField(result: Record<string, unknown>, patchKey: string, value: unknown, type: FieldType): void {
  const isDeletion = patchKey.startsWith(deleteFromListPrefix);
  const key = isDeletion ? patchKey.slice(deleteFromListPrefix.length) : patchKey;
  if (value === null) {
    delete result[key];
    return;
  }
  const before = ownValue(result, key);
  if (isDeletion) {
    if (!Array.isArray(value)) throw new PatchError("BadPatch", "invalid patch format of primitive list");
    if (Array.isArray(before)) setOwn(result, key, mergeLists(before, value, fieldOf(type, key), isDeletion));
    return;
  }
  if (isObject(before) && isObject(value)) {
    const field = lookUp(type, key);
    const isReplaced = field?.patchStrategies.includes("replace") === true;
    setOwn(result, key, isReplaced ? value : applyStrategicMergePatch(before, value, subtypeOf(type, key)));
    return;
  }
  if (Array.isArray(before) && Array.isArray(value)) {
    const field = fieldOf(type, key);
    const isMerged = field.patchStrategies.includes("merge");
    setOwn(result, key, isMerged ? mergeLists(before, value, field, false) : value);
    return;
  }
  const added = withoutDirectives(value);
  if (added === undefined) delete result[key];
  else setOwn(result, key, added);
}

function retainKeys(result: Record<string, unknown>, patch: Record<string, unknown>): void {
  const list = ownValue(patch, retainKeysKey);
  if (list === undefined) return;
  delete patch[retainKeysKey];
  if (!Array.isArray(list)) throw new PatchError("BadPatch", "invalid patch format of retainKeys");
  const kept = new Set<unknown>(list);
  for (const key of Object.keys(patch)) {
    if (patch[key] === null || key.startsWith(deleteFromListPrefix) || key.startsWith(setElementOrderPrefix)) continue;
    if (!kept.has(key)) throw new PatchError("BadPatch", "invalid patch format of retainKeys");
  }
  for (const key of Object.keys(result)) if (!kept.has(key)) delete result[key];
}

/** Merges the list that `$setElementOrder/<list>` speaks of, orders it, and takes both out of the patch. */
function setElementOrder(
  result: Record<string, unknown>,
  patch: Record<string, unknown>,
  directive: string,
  type: FieldType,
): void {
  const order = patch[directive];
  delete patch[directive];
  const key = directive.slice(setElementOrderPrefix.length);
  const field = fieldOf(type, key);
  const before = ownValue(result, key);
  const change = ownValue(patch, key);
  if (!Array.isArray(order) || !isListOrAbsent(before) || !isListOrAbsent(change)) {
    throw new PatchError("BadPatch", "invalid patch format of setElementOrder list");
  }
  if (before === undefined && change === undefined) return;
  delete patch[key];
  setOwn(result, key, orderList(before, change, order, field));
}

function isListOrAbsent(value: unknown): value is readonly unknown[] | undefined {
  return value === undefined || Array.isArray(value);
}

function lookUp(type: FieldType, key: string): Field | undefined {
  return type.kind === "object" ? type.object.fields.get(key) : undefined;
}

function fieldOf(type: FieldType, key: string): Field {
  const field = lookUp(type, key);
  if (field === undefined) {
    throw new PatchError(
      "BadPatch",
      `unable to find api field in struct ${type.goName} for the json field ${JSON.stringify(key)}`,
    );
  }
  return field;
}

function subtypeOf(type: FieldType, key: string): FieldType {
  return fieldOf(type, key).type;
}
