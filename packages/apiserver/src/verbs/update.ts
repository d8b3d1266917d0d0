import { apiVersionOf, badRequest, isNotFound, type KubeObject, type ResourceDefinition } from "@isopod/api";
import { admitUpdate } from "../admission/admit.ts";
import { sendObject } from "../http/send-object.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";
import { readObject } from "./body-object.ts";
import { changeObject } from "./change-object.ts";
import { createObject } from "./create.ts";
import { checkNamespace } from "./prepare-create.ts";
import { prepareUpdate, type UpdateScope } from "./prepare-update.ts";

export async function update(
  context: RequestContext,
  definition: ResourceDefinition,
  reference: ObjectReference,
  scope: UpdateScope,
): Promise<void> {
  const { isDryRun, fieldValidation } = parseWriteOptions(context.query, "UpdateOptions");
  const kind = { apiVersion: apiVersionOf(definition), kind: definition.kind };
  const body = await readObject(context, kind, fieldValidation);
  checkName(definition, reference, body);
  const subresource = scope === "main" ? undefined : scope;
  try {
    const { version } = await changeObject(context.server.objects, definition, reference, isDryRun, async (current) => {
      const next = prepareUpdate(definition, scope, body, current);
      return await admitUpdate(context, definition, next, current, subresource, isDryRun);
    });
    sendObject(context, 200, version);
  } catch (error) {
    const creates = definition.allowCreateOnUpdate && scope === "main" && (body.metadata.resourceVersion ?? "") === "";
    if (!creates || !isNotFound(error)) throw error;
    sendObject(context, 201, await createObject(context, definition, reference.namespace, body, isDryRun));
  }
}

function checkName(definition: ResourceDefinition, reference: ObjectReference, body: KubeObject): void {
  const { name } = body.metadata;
  if (name === "") throw badRequest("name must be provided");
  if (name !== reference.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${reference.name})`);
  }
  checkNamespace(definition, body.metadata, reference.namespace);
}
