import { isObject, type JsonObject } from "../schema/conform.ts";
import type { Field, FieldType } from "../schema/object-type.ts";
import { directiveKey, unknownDirective, withoutDirectives } from "./directives.ts";
import { PatchError } from "./patch-error.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

/**
 * Merges a patch's list into a list: objects by the field's merge key, scalars as a set.
 * `isDeletion`: the patch's list names the scalars to take away.
 * The order: elements the patch names in its order, the others in theirs, interleaved as they were.
 */
export function mergeLists(
  before: readonly unknown[],
  patch: readonly unknown[],
  field: Field,
  isDeletion: boolean,
): readonly unknown[] {
  if (before.length === 0 && patch.length === 0) return before;
  if (!areObjects(before, patch)) {
    if (isDeletion) {
      const removed = new Set(patch);
      return before.filter((element) => !removed.has(element));
    }
    return arrange([...new Set([...before, ...patch])], patch, before, undefined);
  }
  const mergeKey = mergeKeyOf(field);
  const { remaining, additions } = applyElementDirectives(before, patch, mergeKey);
  const merged = mergeElements(remaining, additions, mergeKey, elementTypeOf(field));
  return arrange(merged, additions, remaining, mergeKey);
}

/** True for lists of objects, false for lists of scalars; mixed lists and lists of lists are refused. */
export function areObjects(...lists: readonly (readonly unknown[])[]): boolean {
  let kind: string | undefined;
  for (const list of lists) {
    for (const element of list) {
      if (Array.isArray(element)) throw new PatchError("CannotApply", "lists of lists are not supported");
      const elementKind = element === null ? "null" : typeof element;
      if (elementKind === "null" || (kind !== undefined && kind !== elementKind)) {
        throw new PatchError("BadPatch", "list element types are not identical");
      }
      kind = elementKind;
    }
  }
  return kind === "object";
}

/**
 * Puts the elements that `patchOrder` names in its order and the others in `serverOrder`, then merges both runs: one
 * of the others goes first where it stood before the next named one on the server.
 */
export function arrange(
  elements: readonly unknown[],
  patchOrder: readonly unknown[],
  serverOrder: readonly unknown[],
  mergeKey: string | undefined,
): readonly unknown[] {
  const patchRank = ranks(patchOrder, mergeKey);
  const serverRank = ranks(serverOrder, mergeKey);
  const named: unknown[] = [];
  const others: unknown[] = [];
  for (const element of elements) {
    (patchRank.has(identity(element, mergeKey, "required")) ? named : others).push(element);
  }
  const by = (rank: ReadonlyMap<unknown, number>) => (left: unknown, right: unknown) =>
    (rank.get(identity(left, mergeKey)) ?? -1) - (rank.get(identity(right, mergeKey)) ?? -1);
  named.sort(by(patchRank));
  others.sort(by(serverRank));

  const result: unknown[] = [];
  let nextNamed = 0;
  for (const other of others) {
    const rank = serverRank.get(identity(other, mergeKey));
    while (nextNamed < named.length) {
      const namedRank = serverRank.get(identity(named[nextNamed], mergeKey));
      if (rank !== undefined && namedRank !== undefined && rank < namedRank) break;
      result.push(named[nextNamed++]);
    }
    result.push(other);
  }
  return [...result, ...named.slice(nextNamed)];
}

export function mergeKeyOf(field: Field): string {
  if (field.patchMergeKey === undefined) {
    throw new PatchError("BadPatch", `cannot merge lists without merge key for ${field.name}`);
  }
  return field.patchMergeKey;
}

/** What makes an element of a list itself: its merge key, or a scalar as it is. */
export function identity(element: unknown, mergeKey: string | undefined, missing?: "required"): unknown {
  if (mergeKey === undefined) return element;
  const value = isObject(element) && Object.hasOwn(element, mergeKey) ? element[mergeKey] : undefined;
  if (value === undefined && missing === "required") {
    throw new PatchError(
      "BadPatch",
      `map: ${JSON.stringify(element).slice(0, 200)} does not contain declared merge key: ${mergeKey}`,
    );
  }
  return value;
}

function ranks(order: readonly unknown[], mergeKey: string | undefined): ReadonlyMap<unknown, number> {
  const result = new Map<unknown, number>();
  order.forEach((element, index) => {
    const key = identity(element, mergeKey, "required");
    if (!result.has(key)) result.set(key, index);
  });
  return result;
}

/** Obeys `$patch: delete` and `$patch: replace` in the elements of the patch. */
function applyElementDirectives(
  before: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
): { readonly remaining: readonly unknown[]; readonly additions: readonly unknown[] } {
  const additions: unknown[] = [];
  const deleted = new Set<unknown>();
  let isReplacement = false;
  for (const element of patch) {
    const directive = isObject(element) ? element[directiveKey] : undefined;
    if (directive === undefined) additions.push(element);
    else if (directive === "delete") deleted.add(identity(element, mergeKey, "required"));
    else if (directive === "replace") isReplacement = true;
    else if (directive === "merge") {
      throw new PatchError("BadPatch", "merging lists cannot yet be specified in the patch");
    } else throw unknownDirective(directive);
  }
  if (isReplacement) return { remaining: additions, additions: [] };
  const remaining = deleted.size === 0 ? before : before.filter((element) => !deleted.has(identity(element, mergeKey)));
  return { remaining, additions };
}

function mergeElements(
  before: readonly unknown[],
  additions: readonly unknown[],
  mergeKey: string,
  type: FieldType,
): readonly unknown[] {
  const result = [...before];
  const indexByKey = new Map<unknown, number>();
  result.forEach((element, index) => {
    const key = identity(element, mergeKey);
    if (key !== undefined && !indexByKey.has(key)) indexByKey.set(key, index);
  });
  for (const addition of additions) {
    const key = identity(addition, mergeKey, "required");
    const index = indexByKey.get(key);
    if (index === undefined) {
      indexByKey.set(key, result.length);
      result.push(withoutDirectives(addition));
    } else result[index] = applyStrategicMergePatch(asObject(result[index]), asObject(addition), type);
  }
  return result;
}

function asObject(element: unknown): JsonObject {
  if (!isObject(element)) throw new PatchError("BadPatch", "list element types are not identical");
  return element;
}

function elementTypeOf(field: Field): FieldType {
  if (field.type.kind !== "list") throw new PatchError("BadPatch", `${field.name} is not a list`);
  return field.type.element;
}
