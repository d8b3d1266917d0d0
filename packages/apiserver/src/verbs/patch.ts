import {
  apiVersionOf,
  applyPatch,
  badRequest,
  checkPatchMediaType,
  type KubeObject,
  type ResourceDefinition,
} from "@isopod/api";
import { admitUpdate } from "../admission/admit.ts";
import { readBody } from "../http/body.ts";
import { sendObject } from "../http/send-object.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";
import { asKubeObject, reportStrictErrors } from "./body-object.ts";
import { changeObject } from "./change-object.ts";
import { prepareUpdate, type UpdateScope } from "./prepare-update.ts";

export async function patch(
  context: RequestContext,
  definition: ResourceDefinition,
  reference: ObjectReference,
  scope: UpdateScope,
): Promise<void> {
  const { isDryRun, fieldValidation } = parseWriteOptions(context.query, "PatchOptions");
  const contentType = context.request.headers["content-type"] ?? "";
  const kind = { apiVersion: apiVersionOf(definition), kind: definition.kind };
  // Before the object is looked up: that it is not there would hide that the patch is of no use.
  checkPatchMediaType(contentType, kind);
  const bytes = await readBody(context.request);
  const subresource = scope === "main" ? undefined : scope;
  const { version } = await changeObject(context.server.objects, definition, reference, isDryRun, async (current) => {
    const { object, strictErrors } = applyPatch(contentType, { ...current }, bytes, kind);
    reportStrictErrors(context, kind, fieldValidation, strictErrors);
    const patched = asKubeObject(object);
    checkIdentity(patched, current);
    // The version in the patched object is the current one, unless the patch asks for another: then it is a condition.
    const next = prepareUpdate(definition, scope, patched, current);
    return await admitUpdate(context, definition, next, current, subresource, isDryRun);
  });
  sendObject(context, 200, version);
}

function checkIdentity(patched: KubeObject, current: KubeObject): void {
  if (patched.metadata.name !== current.metadata.name) {
    throw badRequest(
      `the name of the object (${patched.metadata.name}) does not match the name on the URL (${current.metadata.name})`,
    );
  }
  if (patched.metadata.namespace !== current.metadata.namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}
