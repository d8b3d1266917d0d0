import type { ResourceDefinition } from "../kinds/definition.ts";
import type { KubeObject } from "../types/meta.ts";
import type { StatusCause } from "../types/status.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "./object-meta.ts";

/**
 * What is wrong with an object that has its defaults, or with the change from `old`; empty when it may be stored.
 *
 * Pure and local: whether what it refers to exists is asked elsewhere. The scheduler's binding changes `spec.nodeName`,
 * which no update may, and so does not come through here.
 */
export function validate(definition: ResourceDefinition, object: KubeObject, old?: KubeObject): readonly StatusCause[] {
  return [
    ...validateObjectMeta(definition, object.metadata),
    ...(old === undefined ? [] : validateObjectMetaUpdate(object.metadata, old.metadata)),
    ...(definition.validate?.(object, old) ?? []),
  ];
}
