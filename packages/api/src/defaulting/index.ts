import type { ResourceDefinition } from "../kinds/definition.ts";
import type { KubeObject } from "../types/meta.ts";

/**
 * The object with the defaults kube-apiserver gives its kind, and its built-in admission adds; a new object where
 * anything changes. Applying them twice changes nothing.
 *
 * A pod or namespace without `status.phase` counts as new: the caller drops `status` on create and keeps the stored one
 * on update before it calls.
 */
export function applyDefaults(definition: ResourceDefinition, object: KubeObject): KubeObject {
  return definition.defaults?.(object) ?? object;
}
