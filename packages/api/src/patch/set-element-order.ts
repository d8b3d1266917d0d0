import type { Field } from "../schema/object-type.ts";
import { directiveKey, withoutDirectives } from "./directives.ts";
import { areObjects, arrange, identity, mergeKeyOf, mergeLists } from "./merge-list.ts";
import { PatchError } from "./patch-error.ts";

/**
 * Merges `change` into `before` and puts the result in `order`; elements that `order` does not name, such as those
 * another client has added meanwhile, keep their place among the others.
 */
export function orderList(
  before: readonly unknown[] | undefined,
  change: readonly unknown[] | undefined,
  order: readonly unknown[],
  field: Field,
): readonly unknown[] {
  const mergeKey = areObjects(before ?? [], change ?? []) ? mergeKeyOf(field) : undefined;
  requireSameOrder(change ?? [], order, mergeKey);
  const merged = mergedList(before, change, field);
  return arrange(merged, order, serverOrderOf(before ?? [], change ?? [], merged, mergeKey), mergeKey);
}

/**
 * In kube-apiserver, elements that a patch deletes make room for those it adds in the very list that then tells the
 * order on the server. So one that replaces another counts as having stood last; users see that order.
 */
function serverOrderOf(
  before: readonly unknown[],
  change: readonly unknown[],
  merged: readonly unknown[],
  mergeKey: string | undefined,
): readonly unknown[] {
  if (mergeKey === undefined) return before;
  const present = new Set(merged.map((element) => identity(element, mergeKey)));
  const known = new Set(before.map((element) => identity(element, mergeKey)));
  const remaining = before.filter((element) => present.has(identity(element, mergeKey)));
  const added = change.filter((element) => !isDirective(element) && !known.has(identity(element, mergeKey)));
  return [...remaining, ...added.slice(0, before.length - remaining.length)];
}

function mergedList(
  before: readonly unknown[] | undefined,
  change: readonly unknown[] | undefined,
  field: Field,
): readonly unknown[] {
  if (change === undefined) return before ?? [];
  if (before !== undefined) {
    return field.patchStrategies.includes("merge") ? mergeLists(before, change, field, false) : change;
  }
  return change.map(withoutDirectives).filter((element) => element !== undefined);
}

/** The elements of the patch must come in the order that the order list gives them. */
function requireSameOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  if (order.length === 0) return;
  let position = 0;
  for (const element of patch) {
    if (isDirective(element)) continue;
    const key = identity(element, mergeKey, "required");
    while (position < order.length && identity(order[position], mergeKey, "required") !== key) position++;
    if (position >= order.length) {
      throw new PatchError("BadPatch", "The order in patch list doesn't match $setElementOrder list");
    }
    position++;
  }
}

function isDirective(element: unknown): boolean {
  return typeof element === "object" && element !== null && Object.hasOwn(element, directiveKey);
}
