import { alreadyExists, apiVersionOf, isAlreadyExists, type KubeObject, type ResourceDefinition } from "@isopod/api";
import { admitCreate } from "../admission/admit.ts";
import { checkNamespaceForCreate } from "../admission/namespace-lifecycle.ts";
import { sendObject } from "../http/send-object.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import { referenceOf } from "../objects/object-key.ts";
import { type ObjectVersion, unstoredVersion } from "../objects/object-version.ts";
import type { RequestContext } from "../request-context.ts";
import { readObject } from "./body-object.ts";
import { prepareCreate } from "./prepare-create.ts";

/** As often as kube-apiserver (1.30) tries another generated name. */
const generateNameAttempts = 8;

export async function create(
  context: RequestContext,
  definition: ResourceDefinition,
  namespace: string,
): Promise<void> {
  const { isDryRun, fieldValidation } = parseWriteOptions(context.query, "CreateOptions");
  const kind = { apiVersion: apiVersionOf(definition), kind: definition.kind };
  const body = await readObject(context, kind, fieldValidation);
  sendObject(context, 201, await createObject(context, definition, namespace, body, isDryRun));
}

/** Everything of a create but the wire. Throws AlreadyExists, NotFound for the namespace, Invalid… */
export async function createObject(
  context: RequestContext,
  definition: ResourceDefinition,
  namespace: string,
  body: KubeObject,
  isDryRun: boolean,
): Promise<ObjectVersion> {
  const { objects, options } = context.server;
  for (let attempt = 1; ; attempt++) {
    const prepared = prepareCreate(definition, body, namespace, options.clock.nowMs());
    await checkNamespaceForCreate(objects, definition, namespace, prepared.metadata.name);
    const admitted = await admitCreate(context, definition, prepared, isDryRun);
    try {
      if (!isDryRun) return await objects.create(definition, admitted);
      if ((await objects.find(definition, referenceOf(admitted))) !== undefined) {
        throw alreadyExists(definition, admitted.metadata.name);
      }
      return unstoredVersion(definition, admitted);
    } catch (error) {
      const isGenerated = body.metadata.name === "";
      if (!isGenerated || !isAlreadyExists(error) || attempt === generateNameAttempts) throw error;
    }
  }
}
