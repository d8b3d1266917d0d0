import type { KubeObject, ResourceDefinition } from "@isopod/api";

/** Which object: the namespace is empty for cluster-scoped kinds. */
export interface ObjectReference {
  readonly namespace: string;
  readonly name: string;
}

/** Prefix of all keys of a kind, or of those in one namespace. Always ends with a slash. */
export function keyPrefix(definition: ResourceDefinition, namespace: string): string {
  const kind = `/${definition.group === "" ? "core" : definition.group}/${definition.plural}/`;
  return definition.namespaced && namespace !== "" ? `${kind}${namespace}/` : kind;
}

export function objectKey(definition: ResourceDefinition, { namespace, name }: ObjectReference): string {
  return `${keyPrefix(definition, namespace)}${name}`;
}

export function referenceOf(object: KubeObject): ObjectReference {
  return { namespace: object.metadata.namespace ?? "", name: object.metadata.name };
}
