import type { KubeObject, ResourceDefinition } from "@isopod/api";

/** Path of a collection, an object, or a subresource. A namespaced collection without namespace spans all of them. */
export function pathOf<T extends KubeObject>(
  resource: ResourceDefinition<T>,
  namespace?: string,
  name?: string,
  subresource?: string,
): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const object = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${resource.plural}${object}${subresource === undefined ? "" : `/${subresource}`}`;
}
