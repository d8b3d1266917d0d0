import type { ResourceDefinition } from "@isopod/api";
import { sendObject } from "../http/send-object.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import { parseRevision, reachRevision } from "../objects/revision.ts";
import type { RequestContext } from "../request-context.ts";

export async function get(
  context: RequestContext,
  definition: ResourceDefinition,
  reference: ObjectReference,
): Promise<void> {
  const { objects } = context.server;
  // "At least as new as": we always answer with the newest.
  const atLeast = context.query.get("resourceVersion") ?? "";
  if (atLeast !== "" && atLeast !== "0") await reachRevision(objects, parseRevision(atLeast), context.signal);
  const { stored } = await objects.get(definition, reference);
  sendObject(context, 200, objects.version(definition, stored));
}
