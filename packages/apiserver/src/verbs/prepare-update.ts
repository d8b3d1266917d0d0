import { isDeepStrictEqual } from "node:util";
import { conflict, invalid, type KubeObject, type ObjectMeta, type ResourceDefinition, resources } from "@isopod/api";
import { desiredState, type ObjectParts, withStatusOf } from "../objects/parts.ts";

/** What an update may change: the object, its status, or the finalizers of a namespace. */
export type UpdateScope = "main" | "status" | "finalize";

/**
 * The object to store for an update of `current` with `body`: identity and the other scopes' parts stay as they are.
 * Throws Conflict when the body is of another version or another object of the name, Invalid when it must name a
 * version and does not.
 */
export function prepareUpdate(
  definition: ResourceDefinition,
  scope: UpdateScope,
  body: KubeObject,
  current: KubeObject,
): KubeObject {
  checkVersion(definition, body, current);
  const metadata = keepIdentity(definition, metadataOf(definition, scope, body, current), current.metadata);
  const next: ObjectParts = { ...partsOf(definition, scope, body, current), metadata };
  checkNoNewFinalizers(definition, next, current);
  if (!definition.hasGeneration || isDeepStrictEqual(desiredState(next), desiredState(current))) return next;
  return { ...next, metadata: { ...metadata, generation: (current.metadata.generation ?? 0) + 1 } };
}

function checkVersion(definition: ResourceDefinition, body: KubeObject, current: KubeObject): void {
  const { name } = current.metadata;
  const { uid = "", resourceVersion = "" } = body.metadata;
  if (uid !== "" && uid !== current.metadata.uid) {
    throw conflict(
      definition,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`,
    );
  }
  if (resourceVersion === current.metadata.resourceVersion) return;
  if (resourceVersion !== "" && resourceVersion !== "0") throw conflict(definition, name);
  if (!definition.unconditionalUpdate) {
    const message = "Invalid value: 0: must be specified for an update";
    throw invalid(definition, name, [{ reason: "FieldValueInvalid", message, field: "metadata.resourceVersion" }]);
  }
}

function partsOf(
  definition: ResourceDefinition,
  scope: UpdateScope,
  body: ObjectParts,
  current: ObjectParts,
): ObjectParts {
  switch (scope) {
    case "main":
      return definition.hasStatus ? withStatusOf(body, current) : body;
    case "status":
      return withStatusOf(current, body);
    case "finalize":
      return body.spec === undefined ? current : { ...current, spec: body.spec };
  }
}

/** The metadata the writer of the scope may set. */
function metadataOf(
  definition: ResourceDefinition,
  scope: UpdateScope,
  body: KubeObject,
  current: KubeObject,
): ObjectMeta {
  if (scope === "main") return body.metadata;
  // Custom resources keep all of it; Kubernetes's own kinds let labels, annotations and finalizers through.
  if (scope === "finalize" || !definition.builtIn) return current.metadata;
  if (definition !== resources.pods) return body.metadata;
  const { ownerReferences: _ownerReferences, ...rest } = body.metadata;
  const { ownerReferences } = current.metadata;
  return ownerReferences === undefined ? rest : { ...rest, ownerReferences };
}

const identityKeys = [
  "namespace",
  "generateName",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

function keepIdentity(definition: ResourceDefinition, metadata: ObjectMeta, current: ObjectMeta): ObjectMeta {
  const { labels, annotations, ownerReferences, finalizers } = metadata;
  const identity = Object.fromEntries(
    identityKeys.filter((key) => current[key] !== undefined).map((key) => [key, current[key]]),
  );
  if (definition.namespaced) identity["namespace"] = current.namespace;
  return {
    name: current.name,
    ...identity,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(ownerReferences === undefined || ownerReferences.length === 0 ? {} : { ownerReferences }),
    ...(finalizers === undefined || finalizers.length === 0 ? {} : { finalizers }),
  };
}

/** Once deletion has begun, finalizers only go. */
function checkNoNewFinalizers(definition: ResourceDefinition, next: KubeObject, current: KubeObject): void {
  if (current.metadata.deletionTimestamp === undefined) return;
  const before = new Set(current.metadata.finalizers ?? []);
  const added = (next.metadata.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
  if (added.length === 0) return;
  const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
  const message = `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
  throw invalid(definition, current.metadata.name, [
    { reason: "FieldValueForbidden", message, field: "metadata.finalizers" },
  ]);
}
