import { conform, isObject, type JsonObject } from "../schema/conform.ts";
import { FieldValueError } from "../schema/field-value.ts";
import { findObjectType } from "../schema/schemas.ts";
import { type ApiError, badRequest } from "../status-error.ts";

/** A kind as `apiVersion` and `kind` name it in an object. */
export interface GroupVersionKind {
  readonly apiVersion: string;
  readonly kind: string;
}

export interface DecodedBody {
  /** Without unknown fields and nulls, in canonical form; `apiVersion` and `kind` are always there. */
  readonly object: JsonObject;
  /** Worded as kube-apiserver words them (`unknown field "spec.foo"`); at most 100. Empty for protobuf. */
  readonly strictErrors: readonly string[];
}

/**
 * Fits a value to the schema of its kind; see {@link decodeBody}. A kind without a schema passes as it is.
 * Throws `BadRequest` worded like kube-apiserver's, naming the field.
 */
export function conformTo(value: unknown, gvk: GroupVersionKind): DecodedBody {
  const type = findObjectType(gvk.apiVersion, gvk.kind);
  if (type === undefined) {
    if (!isObject(value)) throw badRequest(`a ${gvk.kind} must be a JSON object`);
    return { object: value, strictErrors: [] };
  }
  try {
    const { object, unknownFields } = conform(type, value);
    return { object, strictErrors: unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`) };
  } catch (error) {
    if (error instanceof FieldValueError) throw cannotBeHandled(gvk, gvk.kind, error.message, error);
    throw error;
  }
}

/** The fields of an object that its kind does not have, as kube-apiserver words them; see {@link conformTo}. */
export function checkFields(gvk: GroupVersionKind, value: unknown): readonly string[] {
  return conformTo(value, gvk).strictErrors;
}

/** The object without unknown fields and nulls, in canonical form; see {@link conformTo}. */
export function pruneUnknown(gvk: GroupVersionKind, value: unknown): JsonObject {
  return conformTo(value, gvk).object;
}

/** kube-apiserver's answer to a body it can read but not as the kind it must be. */
export function cannotBeHandled(gvk: GroupVersionKind, as: string, why: string, cause?: unknown): ApiError {
  const version = gvk.apiVersion.slice(gvk.apiVersion.indexOf("/") + 1);
  return badRequest(`${gvk.kind} in version ${JSON.stringify(version)} cannot be handled as a ${as}: ${why}`, cause);
}

/** The error of `fieldValidation=Strict`. */
export function strictDecodingError(gvk: GroupVersionKind, strictErrors: readonly string[]): ApiError {
  return cannotBeHandled(gvk, gvk.kind, `strict decoding error: ${strictErrors.join(", ")}`);
}
