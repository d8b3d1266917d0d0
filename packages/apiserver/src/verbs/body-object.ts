import { badRequest, decodeBody, type GroupVersionKind, type KubeObject, strictDecodingError } from "@isopod/api";
import { readBody } from "../http/body.ts";
import type { FieldValidation } from "../http/write-options.ts";
import type { RequestContext } from "../request-context.ts";

/**
 * Reads the body as an object of the expected kind, unknown fields removed. Strict validation refuses unknown and
 * repeated fields, Warn tells of them.
 */
export async function readObject(
  context: RequestContext,
  expected: GroupVersionKind,
  fieldValidation: FieldValidation,
): Promise<KubeObject> {
  const bytes = await readBody(context.request);
  const { object, strictErrors } = decodeBody(bytes, context.request.headers["content-type"], {
    expected,
    ignoreStrictErrors: fieldValidation === "Ignore",
  });
  reportStrictErrors(context, expected, fieldValidation, strictErrors);
  return asKubeObject(object);
}

export function reportStrictErrors(
  context: RequestContext,
  kind: GroupVersionKind,
  fieldValidation: FieldValidation,
  strictErrors: readonly string[],
): void {
  if (strictErrors.length === 0 || fieldValidation === "Ignore") return;
  if (fieldValidation === "Strict") throw strictDecodingError(kind, strictErrors);
  for (const error of strictErrors) context.warnings.add(error);
}

/** A decoded object as one with metadata: absent metadata is empty. The decoder has checked the types of its fields. */
export function asKubeObject(object: { readonly [key: string]: unknown }): KubeObject {
  const { apiVersion, kind, metadata = {}, ...rest } = object;
  if (typeof apiVersion !== "string" || typeof kind !== "string")
    throw badRequest("apiVersion and kind must be strings");
  if (!isMetadata(metadata)) throw badRequest("metadata must be a JSON object");
  return { apiVersion, kind, metadata: { ...metadata, name: metadata.name ?? "" }, ...rest };
}

function isMetadata(value: unknown): value is Partial<KubeObject["metadata"]> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
