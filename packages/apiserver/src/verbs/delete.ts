import {
  conflict,
  type DeleteOptions,
  isConflict,
  type KubeObject,
  type ResourceDefinition,
  resources,
  type Status,
} from "@isopod/api";
import { runHooks } from "../admission/admit.ts";
import { checkNamespaceForDelete } from "../admission/namespace-lifecycle.ts";
import { sendJson } from "../http/answer.ts";
import { sendObject } from "../http/send-object.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import { type ObjectVersion, unstoredVersion } from "../objects/object-version.ts";
import { withRevision } from "../objects/object-json.ts";
import type { RequestContext } from "../request-context.ts";
import { readDeleteOptions } from "./delete-options.ts";
import { prepareDelete } from "./prepare-delete.ts";

const maxAttempts = 20;
/** Kinds whose deletion is answered with what was deleted. */
const returnsObject = new Set<ResourceDefinition>([resources.pods, resources.serviceaccounts]);

export interface DeleteOutcome {
  readonly version: ObjectVersion;
  /** False: it is marked, and waits for its grace or its finalizers. */
  readonly isGone: boolean;
}

export async function remove(
  context: RequestContext,
  definition: ResourceDefinition,
  reference: ObjectReference,
): Promise<void> {
  const { isDryRun } = parseWriteOptions(context.query, "DeleteOptions");
  const options = await readDeleteOptions(context);
  const outcome = await deleteObject(
    context,
    definition,
    reference,
    isDryRun ? { ...options, dryRun: ["All"] } : options,
  );
  if (!outcome.isGone || returnsObject.has(definition)) return sendObject(context, 200, outcome.version);
  sendJson(context.response, 200, JSON.stringify(successOf(definition, outcome.version.object)), context.warnings);
}

/** Everything of a delete but the wire. Throws NotFound, Conflict for preconditions. */
export async function deleteObject(
  context: RequestContext,
  definition: ResourceDefinition,
  reference: ObjectReference,
  options: DeleteOptions,
): Promise<DeleteOutcome> {
  if (definition === resources.namespaces) checkNamespaceForDelete(reference.name);
  const { objects } = context.server;
  const isDryRun = (options.dryRun ?? []).length > 0;
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const current = await objects.get(definition, reference);
    const { object } = current;
    await runHooks(context, {
      operation: "DELETE",
      definition,
      subresource: undefined,
      object,
      oldObject: object,
      isDryRun,
    });
    const deletion = prepareDelete(definition, object, options, context.server.options.clock.nowMs());
    if (deletion.type === "none") return { version: objects.version(definition, current.stored), isGone: false };
    if (isDryRun) return { version: unstoredVersion(definition, deletion.object), isGone: deletion.type === "remove" };
    try {
      if (deletion.type === "mark") {
        return { version: await objects.update(definition, current.stored, deletion.object), isGone: false };
      }
      const revision = await objects.delete(definition, current);
      return { version: unstoredVersion(definition, withRevision(deletion.object, revision)), isGone: true };
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  throw conflict(definition, reference.name);
}

export function successOf(definition: ResourceDefinition, object: KubeObject): Omit<Status, "code"> {
  const { name, uid } = object.metadata;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name,
      ...(definition.group === "" ? {} : { group: definition.group }),
      kind: definition.plural,
      ...(uid === undefined ? {} : { uid }),
    },
  };
}
