import { conformTo, type DecodedBody, type GroupVersionKind } from "../codec/conform-to.ts";
import { countDepth } from "../codec/json-scan.ts";
import { duplicateFields, maxDepth, readJson } from "../codec/read-json.ts";
import { isObject, type JsonObject, maxStrictErrors } from "../schema/conform.ts";
import { findBuiltInType } from "../schema/schemas.ts";
import { ApiError, badRequest, invalid, unsupportedMediaType } from "../status-error.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { jsonPatchMediaType, mergePatchMediaType, strategicMergePatchMediaType } from "./media-types.ts";
import { PatchError } from "./patch-error.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

/** What a PATCH of a kind may be sent as. */
export function acceptedPatchMediaTypes(gvk: GroupVersionKind): readonly string[] {
  const isBuiltIn = findBuiltInType(gvk.apiVersion, gvk.kind) !== undefined;
  return [jsonPatchMediaType, mergePatchMediaType, ...(isBuiltIn ? [strategicMergePatchMediaType] : [])];
}

/** Throws `UnsupportedMediaType` for a patch that {@link applyPatch} would not take; needs no object to say so. */
export function checkPatchMediaType(contentType: string, gvk: GroupVersionKind): void {
  const mediaType = mediaTypeOf(contentType);
  const accepted = acceptedPatchMediaTypes(gvk);
  if (mediaType === "application/apply-patch+yaml") throw noServerSideApply(accepted);
  if (!accepted.includes(mediaType)) throw unsupportedMediaType(accepted);
}

function mediaTypeOf(contentType: string): string {
  return contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/**
 * Applies a patch to an object of a kind. The result is fitted to the kind's schema like a body
 * (`decodeBody`); its strict errors are the fields it does not know and those repeated in the patch.
 * `current` is not changed. The caller bounds the number of bytes and checks what a patch may not change.
 *
 * Throws `ApiError`: `UnsupportedMediaType` (server-side apply is one of these), `BadRequest` for a malformed patch,
 * `Invalid` for one that does not fit the object or leaves a value of a wrong type.
 */
export function applyPatch(
  contentType: string,
  current: JsonObject,
  patch: Uint8Array,
  gvk: GroupVersionKind,
): DecodedBody {
  checkPatchMediaType(contentType, gvk);
  const mediaType = mediaTypeOf(contentType);
  const body = readJson(patch);
  try {
    const patched = apply(mediaType, current, body.value, gvk);
    // Only a JSON patch can make a tree deeper than both the object and the patch.
    if (mediaType === jsonPatchMediaType && countDepth(patched, maxDepth) > maxDepth) {
      throw new PatchError("CannotApply", "the patch leaves an object that is nested too deep");
    }
    const { object, strictErrors } = fitPatched(patched, gvk);
    return { object, strictErrors: [...duplicateFields(body), ...strictErrors].slice(0, maxStrictErrors) };
  } catch (error) {
    if (error instanceof PatchError) throw translate(error, current, gvk);
    throw error;
  }
}

function apply(mediaType: string, current: JsonObject, patch: unknown, gvk: GroupVersionKind): JsonObject {
  if (mediaType === jsonPatchMediaType) return applyJsonPatch(current, patch);
  if (!isObject(patch)) throw new PatchError("BadPatch", "the patch is not a JSON object");
  if (mediaType === mergePatchMediaType) return applyMergePatch(current, patch);
  const type = findBuiltInType(gvk.apiVersion, gvk.kind);
  if (type === undefined) throw unsupportedMediaType(acceptedPatchMediaTypes(gvk));
  return applyStrategicMergePatch(current, patch, { kind: "object", goName: type.goName, object: type });
}

function noServerSideApply(accepted: readonly string[]): ApiError {
  const { status } = unsupportedMediaType(accepted);
  const message = "server-side apply is not supported by Isopod yet: apply without --server-side";
  return new ApiError({ ...status, message: `${message} (accepted media types of patches: ${accepted.join(", ")})` });
}

/** A value of a wrong type is the patch's fault: kube-apiserver answers 422 here, not 400. */
function fitPatched(patched: JsonObject, gvk: GroupVersionKind): DecodedBody {
  try {
    return conformTo(patched, gvk);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "BadRequest") throw error;
    throw new PatchError("CannotApply", error.message, error);
  }
}

function translate(error: PatchError, current: JsonObject, gvk: GroupVersionKind): ApiError {
  if (error.code === "BadPatch") return badRequest(`error decoding patch: ${error.message}`, error);
  const group = gvk.apiVersion.includes("/") ? gvk.apiVersion.slice(0, gvk.apiVersion.indexOf("/")) : "";
  const metadata = current["metadata"];
  const name = isObject(metadata) && typeof metadata["name"] === "string" ? metadata["name"] : "";
  const message = `Invalid value: ${error.message}`;
  return invalid({ group, kind: gvk.kind }, name, [{ reason: "FieldValueInvalid", message, field: "patch" }]);
}
