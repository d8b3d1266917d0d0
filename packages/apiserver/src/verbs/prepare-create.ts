import { randomUUID } from "node:crypto";
import {
  badRequest,
  generateName,
  invalid,
  type KubeObject,
  type ObjectMeta,
  type ResourceDefinition,
  resources,
} from "@isopod/api";
import { type ObjectParts, timeOf, withoutStatus } from "../objects/parts.ts";

/** Kinds whose creator may say the status: nodes register with theirs. */
const keepsStatusOnCreate = new Set<ResourceDefinition>([resources.nodes]);

/**
 * A new object as the server begins it: place and name settled, identity given, what only the server may say removed.
 * Throws BadRequest for a namespace other than the request's, Invalid for an object without any name.
 */
export function prepareCreate(
  definition: ResourceDefinition,
  body: KubeObject,
  namespace: string,
  nowMs: number,
): KubeObject {
  const { metadata } = body;
  const generateBase = metadata.generateName ?? "";
  if (metadata.name === "" && generateBase === "") {
    const message = "Required value: name or generateName is required";
    throw invalid(definition, "", [{ reason: "FieldValueRequired", message, field: "metadata.name" }]);
  }
  if ((metadata.resourceVersion ?? "") !== "")
    throw badRequest("resourceVersion should not be set on objects to be created");
  checkNamespace(definition, metadata, namespace);
  const prepared: ObjectMeta = {
    name: metadata.name === "" ? generateName(generateBase, Math.random) : metadata.name,
    ...pick(metadata, "generateName", "labels", "annotations", "ownerReferences", "finalizers"),
    ...(definition.namespaced ? { namespace } : {}),
    uid: randomUUID(),
    creationTimestamp: timeOf(nowMs),
    ...(definition.hasGeneration ? { generation: 1 } : {}),
  };
  const object: ObjectParts = { ...body, metadata: prepared };
  return definition.hasStatus && !keepsStatusOnCreate.has(definition) ? withoutStatus(object) : object;
}

export function checkNamespace(definition: ResourceDefinition, metadata: ObjectMeta, namespace: string): void {
  const named = metadata.namespace ?? "";
  if (named !== "" && (!definition.namespaced || named !== namespace)) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}

function pick<Key extends keyof ObjectMeta>(metadata: ObjectMeta, ...keys: readonly Key[]): Partial<ObjectMeta> {
  return Object.fromEntries(keys.filter((key) => metadata[key] !== undefined).map((key) => [key, metadata[key]]));
}
