import { canonicalBase64, canonicalQuantity, canonicalTime, FieldValueError, goValueName } from "./field-value.ts";
import type { FieldType, LeafType, ObjectType } from "./object-type.ts";

export type JsonObject = { readonly [key: string]: unknown };

export interface Conformed {
  /** The object without unknown fields and nulls, its quantities, times and numbers in canonical form. */
  readonly object: JsonObject;
  /** Fields that the type does not have, as paths such as `spec.containers[0].imagee`; at most 100. */
  readonly unknownFields: readonly string[];
}

/** kube-apiserver stops collecting strict decoding errors here. */
export const maxStrictErrors = 100;

/**
 * Fits a decoded JSON value to a type, as Go's decoder does when kube-apiserver reads it: unknown fields fall away,
 * null is absence, a null in a list or map is the zero value, a quantity may be a number, times become UTC.
 *
 * One walk, without copying what already fits: most objects come back as they are. The value must be a tree no deeper
 * than the stack; the decoders bound that.
 * Throws {@link FieldValueError} with Go's wording at the first value of a wrong type, in document order.
 */
export function conform(type: ObjectType, value: unknown): Conformed {
  const walk = new Walk();
  if (!isObject(value)) {
    throw new FieldValueError(`json: cannot unmarshal ${goValueName(value)} into Go value of type ${type.goName}`, {});
  }
  return { object: walk.object(type, value), unknownFields: walk.unknownFields };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class Walk {
  readonly unknownFields: string[] = [];
  /** Names, keys and indices from the root; only read when something is wrong. */
  readonly #path: (string | number)[] = [];
  /** Names of struct fields alone, as Go's type errors give them. */
  readonly #goPath: string[] = [];
  #struct = "";

  object(type: ObjectType, value: JsonObject): JsonObject {
    let copy: Record<string, unknown> | undefined;
    for (const key in value) {
      const before = value[key];
      const field = type.fields.get(key);
      let after: unknown;
      if (field === undefined) {
        if (before !== undefined) this.#reportUnknown(key);
      } else if (before !== null && before !== undefined) {
        this.#path.push(key);
        this.#goPath.push(field.goPath);
        this.#struct = type.goName;
        after = this.#value(field.type, before);
        this.#path.pop();
        this.#goPath.pop();
      }
      if (copy === undefined) {
        if (after === before) continue;
        copy = copyBefore(value, key);
      }
      if (after !== undefined) copy[key] = after;
    }
    return copy ?? value;
  }

  #value(type: FieldType, value: unknown): unknown {
    switch (type.kind) {
      case "object":
        if (!isObject(value)) throw this.#mismatch(value, type);
        return this.object(type.object, value);
      case "list":
        if (!Array.isArray(value)) throw this.#mismatch(value, type);
        return this.#list(type.element, value);
      case "map":
        if (!isObject(value)) throw this.#mismatch(value, type);
        return this.#map(type.value, value);
      default:
        return this.#leaf(type, value);
    }
  }

  #list(element: FieldType, value: readonly unknown[]): readonly unknown[] {
    let copy: unknown[] | undefined;
    for (let index = 0; index < value.length; index++) {
      const before = value[index];
      this.#path.push(index);
      const after = before === null ? zeroValue(element) : this.#value(element, before);
      this.#path.pop();
      if (copy === undefined) {
        if (after === before) continue;
        copy = value.slice(0, index);
      }
      copy.push(after);
    }
    return copy ?? value;
  }

  #map(type: FieldType, value: JsonObject): JsonObject {
    let copy: Record<string, unknown> | undefined;
    for (const key in value) {
      const before = value[key];
      if (before === undefined) continue;
      this.#path.push(key);
      const after = before === null ? zeroValue(type) : this.#value(type, before);
      this.#path.pop();
      if (copy === undefined) {
        if (after === before) continue;
        copy = copyBefore(value, key);
      }
      setOwn(copy, key, after);
    }
    return copy ?? value;
  }

  #leaf(type: LeafType, value: unknown): unknown {
    switch (type.kind) {
      case "string":
        if (typeof value !== "string") throw this.#mismatch(value, type);
        return value;
      case "bool":
        if (typeof value !== "boolean") throw this.#mismatch(value, type);
        return value;
      case "int32":
      case "int64":
        if (!isIntegerOf(type.kind, value)) throw this.#mismatch(value, type);
        return value;
      case "double":
        if (typeof value !== "number" || !Number.isFinite(value)) throw this.#mismatch(value, type);
        return value;
      case "bytes":
        if (typeof value !== "string") throw this.#mismatch(value, type);
        return canonicalBase64(value);
      case "quantity":
        return this.#quantity(value);
      case "time":
      case "microtime":
        if (typeof value !== "string") throw this.#mismatch(value, { goName: "string" });
        return canonicalTime(value, type.kind);
      case "intOrString":
        if (typeof value !== "string" && !isIntegerOf("int32", value)) throw this.#mismatch(value, { goName: "int32" });
        return value;
      case "fields":
        if (!isObject(value)) throw this.#mismatch(value, type);
        return value;
      case "raw":
        return value;
    }
  }

  /** kube-apiserver leaves out where the bad quantity is; of a large manifest nobody could tell. */
  #quantity(value: unknown): string {
    try {
      return canonicalQuantity(value);
    } catch (error) {
      if (!(error instanceof FieldValueError)) throw error;
      const path = this.#pathTo(undefined);
      throw new FieldValueError(`${path}: ${JSON.stringify(value)}: ${error.message}`, { object: path, cause: error });
    }
  }

  #mismatch(value: unknown, type: { readonly goName: string }): FieldValueError {
    const struct = this.#struct.slice(this.#struct.lastIndexOf(".") + 1);
    return new FieldValueError(
      `json: cannot unmarshal ${goValueName(value)} into Go struct field ${struct}.${this.#goPath.join(".")} of type ${type.goName}`,
      { object: this.#pathTo(undefined) },
    );
  }

  #reportUnknown(key: string): void {
    if (this.unknownFields.length < maxStrictErrors) this.unknownFields.push(this.#pathTo(key));
  }

  #pathTo(key: string | undefined): string {
    return formatFieldPath(key === undefined ? this.#path : [...this.#path, key]);
  }
}

/** `["spec", "containers", 0, "name"]` becomes `spec.containers[0].name`. */
export function formatFieldPath(path: readonly (string | number)[]): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else text += text === "" ? segment : `.${segment}`;
  }
  return text;
}

function isIntegerOf(kind: "int32" | "int64", value: unknown): boolean {
  // Beyond 2^53 a number of this language is no longer the one the client wrote: refused rather than changed.
  if (typeof value !== "number") return false;
  return kind === "int32" ? value === (value | 0) : Number.isSafeInteger(value);
}

/** What Go's decoder leaves where a list or map holds null. */
export function zeroValue(type: FieldType): unknown {
  switch (type.kind) {
    case "object":
      return {};
    case "list":
      return [];
    case "map":
      return {};
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "intOrString":
      return 0;
    case "quantity":
      return "0";
    case "raw":
    case "fields":
      return {};
    default:
      return "";
  }
}

function copyBefore(value: JsonObject, end: string): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    if (key === end) break;
    setOwn(copy, key, value[key]);
  }
  return copy;
}

/** Assignment, but for the one name that would set the prototype instead. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}
