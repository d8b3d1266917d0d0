import { applyPatch, type Operation, Pointer } from "rfc6902";
import { isObject, type JsonObject } from "../schema/conform.ts";
import { PatchError } from "./patch-error.ts";

const maxOperations = 10_000;
/** `copy` can double an object each time: what all copies bring is bounded, as in kube-apiserver. */
const maxCopiedBytes = 3 * 1024 * 1024;

const operationNames: ReadonlySet<unknown> = new Set(["add", "remove", "replace", "move", "copy", "test"]);
/** As names of members these reach what objects inherit; the library treats them as nothing. */
const reservedNames: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** JSON patch, RFC 6902; all operations or none. `current` is not changed. Throws {@link PatchError}. */
export function applyJsonPatch(current: JsonObject, patch: unknown): JsonObject {
  const operations = readOperations(patch);
  // The root as a member, so that an operation on the whole document is one like any other.
  const holder = { document: structuredClone(current) as unknown };
  let copiedBytes = 0;
  for (const [index, operation] of operations.entries()) {
    if (operation.op === "copy") {
      copiedBytes += JSON.stringify(find(holder, operation.from).value ?? null).length;
      if (copiedBytes > maxCopiedBytes) throw cannotApply(index, operation, "the patch copies more than 3 MiB");
    }
    if (operation.op === "move" && operation.path.startsWith(`${operation.from}/`)) {
      throw cannotApply(index, operation, "a value cannot move into itself");
    }
    if (operation.op === "move" || operation.op === "copy") requireValue(holder, operation, operation.from, index);
    if (operation.op === "remove" || operation.op === "replace" || operation.op === "test") {
      requireValue(holder, operation, operation.path, index);
    } else requireParent(holder, operation, operation.path, index);
    const [failure] = applyPatch(holder, [operation]);
    if (failure != null) throw cannotApply(index, operation, failure.message, failure);
  }
  if (!isObject(holder.document)) throw new PatchError("CannotApply", "the patch leaves no object");
  return holder.document;
}

function readOperations(patch: unknown): readonly Operation[] {
  if (!Array.isArray(patch)) throw new PatchError("BadPatch", "a JSON patch is a list of operations");
  if (patch.length > maxOperations) {
    throw new PatchError(
      "BadPatch",
      `the allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  }
  return patch.map((candidate: unknown, index) => {
    if (!isObject(candidate) || !operationNames.has(candidate["op"])) {
      throw new PatchError("BadPatch", `operation ${index} of the JSON patch has no known "op"`);
    }
    const operation: Record<string, unknown> = { ...candidate, path: pointerText(candidate["path"], index) };
    if (candidate["op"] === "move" || candidate["op"] === "copy")
      operation["from"] = pointerText(candidate["from"], index);
    else if (candidate["op"] !== "remove" && !Object.hasOwn(candidate, "value")) {
      throw new PatchError("BadPatch", `operation ${index} of the JSON patch has no "value"`);
    }
    return operation as unknown as Operation;
  });
}

function pointerText(path: unknown, index: number): string {
  if (typeof path !== "string" || (path !== "" && !path.startsWith("/"))) {
    throw new PatchError("BadPatch", `operation ${index} of the JSON patch has no path that starts with "/"`);
  }
  const pointer = `/document${path}`;
  if (Pointer.fromJSON(pointer).tokens.some((token) => reservedNames.has(token))) {
    throw new PatchError("BadPatch", `operation ${index} of the JSON patch names a reserved member in ${path}`);
  }
  return pointer;
}

// What the library would find by inheritance (`/toString`) does not exist: the way there is checked before it looks.

function requireParent(root: unknown, operation: Operation, pointer: string, index: number): void {
  const { parent } = find(root, pointer);
  if (typeof parent !== "object" || parent === null) throw doesNotExist(operation, pointer, index);
}

function requireValue(root: unknown, operation: Operation, pointer: string, index: number): void {
  if (find(root, pointer).value === undefined) throw doesNotExist(operation, pointer, index);
}

function doesNotExist(operation: Operation, pointer: string, index: number): PatchError {
  return cannotApply(index, operation, `the path ${JSON.stringify(pointer.slice("/document".length))} does not exist`);
}

function find(root: unknown, pointer: string): { readonly parent: unknown; readonly value: unknown } {
  let parent: unknown;
  let value = root;
  for (const token of Pointer.fromJSON(pointer).tokens.slice(1)) {
    parent = value;
    value = memberOf(parent, token);
  }
  return { parent, value };
}

function memberOf(container: unknown, token: string): unknown {
  if (Array.isArray(container)) return /^(?:0|[1-9]\d*)$/.test(token) ? container[Number(token)] : undefined;
  return isObject(container) && Object.hasOwn(container, token) ? container[token] : undefined;
}

function cannotApply(index: number, operation: Operation, why: string, cause?: unknown): PatchError {
  const path = operation.path.slice("/document".length);
  return new PatchError("CannotApply", `operation ${index} (${operation.op} ${path}) failed: ${why}`, cause);
}
