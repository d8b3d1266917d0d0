import { isObject, type JsonObject, maxStrictErrors } from "../schema/conform.ts";
import { FieldValueError } from "../schema/field-value.ts";
import { findBuiltInType, findObjectType, isKindOfEveryGroup } from "../schema/schemas.ts";
import { badRequest, unsupportedMediaType } from "../status-error.ts";
import { cannotBeHandled, conformTo, type DecodedBody, type GroupVersionKind } from "./conform-to.ts";
import { duplicateFieldsOf, strictErrorsOf } from "./duplicate-fields.ts";
import { decodeProtobuf } from "./protobuf-body.ts";
import { ProtobufError } from "./protobuf-reader.ts";
import { hasDuplicates, type JsonBody, maxDepth, readJson, textOf } from "./read-json.ts";
import { acceptedMediaTypes, jsonMediaType, protobufMediaType, yamlMediaType } from "./media-types.ts";
import { readYaml } from "./read-yaml.ts";

export interface DecodeOptions {
  /** The kind the request is for: fills in for a body that names none, and a body of another kind is refused. */
  readonly expected: GroupVersionKind;
  /** Unknown and repeated fields are not looked for (`fieldValidation=Ignore`); unknown ones fall away all the same. */
  readonly ignoreStrictErrors?: boolean;
}

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
      return fitJson(readJson(bytes), options);
    case yamlMediaType: {
      const { value, strictErrors } = readYaml(Buffer.from(bytes).toString("utf8"), maxDepth);
      const { object, strictErrors: unknown } = fit(value, expected);
      if (options.ignoreStrictErrors === true) return { object, strictErrors: [] };
      return { object, strictErrors: [...strictErrors, ...unknown].slice(0, maxStrictErrors) };
    }
    case protobufMediaType:
      if (isBuiltIn) return { ...fit(readProtobuf(bytes, expected), expected), strictErrors: [] };
  }
  throw unsupportedMediaType(acceptedMediaTypes(isBuiltIn));
}

function fitJson(body: JsonBody, options: DecodeOptions): DecodedBody {
  const { object, strictErrors } = fit(body.value, options.expected);
  if (options.ignoreStrictErrors === true) return { object, strictErrors: [] };
  if (!hasDuplicates(body)) return { object, strictErrors };
  // The rare case: read the text once more, to say where, and in the order of the document.
  const type = findObjectType(actualKind(body.value, options.expected).apiVersion, options.expected.kind);
  const text = textOf(body.bytes);
  return { object, strictErrors: type === undefined ? duplicateFieldsOf(text) : strictErrorsOf(text, type) };
}

function fit(value: unknown, expected: GroupVersionKind): DecodedBody {
  const gvk = actualKind(value, expected);
  const { object, strictErrors } = conformTo(value, gvk);
  const isComplete = object["kind"] === gvk.kind && object["apiVersion"] === gvk.apiVersion;
  return { object: isComplete ? object : { ...gvk, ...object, ...gvk }, strictErrors };
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
