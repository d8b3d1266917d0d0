import { isObject, type JsonObject, maxStrictErrors } from "../schema/conform.ts";
import { FieldValueError } from "../schema/field-value.ts";
import type { ObjectType } from "../schema/object-type.ts";
import { findBuiltInType, findObjectType, isKindOfEveryGroup } from "../schema/schemas.ts";
import { badRequest, unsupportedMediaType } from "../status-error.ts";
import { cannotBeHandled, conformTo, type DecodedBody, type GroupVersionKind } from "./conform-to.ts";
import { duplicateFieldsOf, strictErrorsOf } from "./duplicate-fields.ts";
import { decodeProtobuf } from "./protobuf-body.ts";
import { ProtobufError } from "./protobuf-reader.ts";
import { hasDuplicates, maxDepth, readJson, textOf } from "./read-json.ts";
import { readYaml } from "./read-yaml.ts";

export interface DecodeOptions {
  /** The kind the request is for: fills in for a body that names none, and a body of another kind is refused. */
  readonly expected: GroupVersionKind;
  /** Unknown and repeated fields are not looked for (`fieldValidation=Ignore`); unknown ones fall away all the same. */
  readonly ignoreStrictErrors?: boolean;
}

export const jsonMediaType = "application/json";
export const yamlMediaType = "application/yaml";
export const protobufMediaType = "application/vnd.kubernetes.protobuf";

const maxMessages = 100_000;

/**
 * Decodes a request body to an object of the expected kind: JSON, YAML 1.1, and for built-in kinds protobuf.
 * The caller bounds the number of bytes. An absent content type means JSON.
 * Throws `ApiError`: `UnsupportedMediaType`, or `BadRequest` with kube-apiserver's wording.
 */
export function decodeBody(bytes: Uint8Array, contentType: string | undefined, options: DecodeOptions): DecodedBody {
  const { expected } = options;
  const isBuiltIn = findBuiltInType(expected.apiVersion, expected.kind) !== undefined;
  const mediaType = (contentType ?? jsonMediaType).split(";", 1)[0]?.trim().toLowerCase() ?? "";
  switch (mediaType) {
    case "":
    case jsonMediaType:
      return fit(readJson(bytes), options, bytes);
    case yamlMediaType: {
      const { value, strictErrors } = readYaml(Buffer.from(bytes).toString("utf8"), maxDepth);
      const { object, strictErrors: unknown } = fit(value, options, undefined);
      if (options.ignoreStrictErrors === true) return { object, strictErrors: [] };
      return { object, strictErrors: [...strictErrors, ...unknown].slice(0, maxStrictErrors) };
    }
    case protobufMediaType:
      if (isBuiltIn) return fit(readProtobuf(bytes, expected), { ...options, ignoreStrictErrors: true }, undefined);
  }
  throw unsupportedMediaType(acceptedMediaTypes(isBuiltIn));
}

export function acceptedMediaTypes(isBuiltIn: boolean): readonly string[] {
  return [jsonMediaType, yamlMediaType, ...(isBuiltIn ? [protobufMediaType] : [])];
}

function fit(value: unknown, options: DecodeOptions, json: Uint8Array | undefined): DecodedBody {
  const gvk = actualKind(value, options.expected);
  const { object, strictErrors } = conformTo(value, gvk);
  const complete = object["kind"] === undefined || object["apiVersion"] === undefined ? { ...gvk, ...object } : object;
  if (options.ignoreStrictErrors === true) return { object: complete, strictErrors: [] };
  if (json === undefined || !hasDuplicates(json, value)) return { object: complete, strictErrors };
  const type = findObjectType(gvk.apiVersion, gvk.kind);
  return { object: complete, strictErrors: strictErrorsIn(json, type) };
}

function strictErrorsIn(json: Uint8Array, type: ObjectType | undefined): readonly string[] {
  const text = textOf(json);
  return type === undefined ? duplicateFieldsOf(text) : strictErrorsOf(text, type);
}

function actualKind(value: unknown, expected: GroupVersionKind): GroupVersionKind {
  if (!isObject(value)) {
    throw badRequest(
      `couldn't get version/kind; json parse error: the body must be a JSON object of kind ${expected.kind}`,
    );
  }
  const apiVersion = value["apiVersion"] ?? "";
  const kind = value["kind"] ?? "";
  if (typeof apiVersion !== "string" || typeof kind !== "string") {
    throw badRequest("couldn't get version/kind; json parse error: apiVersion and kind must be strings");
  }
  const actual = {
    apiVersion: apiVersion === "" ? expected.apiVersion : apiVersion,
    kind: kind === "" ? expected.kind : kind,
  };
  if (actual.kind !== expected.kind) {
    throw cannotBeHandled(actual, expected.kind, `the request is for a ${expected.kind}, the body is a ${actual.kind}`);
  }
  if (actual.apiVersion !== expected.apiVersion && !isKindOfEveryGroup(actual.kind)) {
    throw badRequest(
      `the API version in the data (${actual.apiVersion}) does not match the expected API version (${expected.apiVersion})`,
    );
  }
  return actual;
}

function readProtobuf(bytes: Uint8Array, expected: GroupVersionKind): JsonObject {
  try {
    return decodeProtobuf(bytes, { maxDepth, maxMessages });
  } catch (error) {
    if (error instanceof ProtobufError || error instanceof FieldValueError) {
      throw cannotBeHandled(expected, expected.kind, error.message, error);
    }
    throw error;
  }
}
