import type { KubeObject, ResourceDefinition } from "@isopod/api";
import type { StoredValue } from "@isopod/store";
import type { ObjectCache } from "./object-cache.ts";
import { encodeObject, objectPieces, withRevision } from "./object-json.ts";

/** One version of an object, as bytes and, when somebody asks, decoded. */
export interface ObjectVersion {
  readonly definition: ResourceDefinition;
  /** Shared: nobody may write into it. */
  readonly object: KubeObject;
  /** Pieces of its JSON, resourceVersion included. */
  readonly pieces: readonly Uint8Array[];
}

/** A version in the store. `revision` is given when the object is told under a later one: that of its deletion. */
export function storedVersion(
  definition: ResourceDefinition,
  stored: StoredValue,
  cache: ObjectCache,
  revision = stored.modRevision,
): ObjectVersion {
  return {
    definition,
    get object() {
      const object = cache.decode(stored);
      return revision === stored.modRevision ? object : withRevision(object, revision);
    },
    get pieces() {
      return objectPieces(definition, stored.value, revision);
    },
  };
}

/** A version that is not stored: the outcome of a dry run. */
export function unstoredVersion(definition: ResourceDefinition, object: KubeObject): ObjectVersion {
  return {
    definition,
    object,
    get pieces() {
      const resourceVersion = object.metadata.resourceVersion;
      const bytes = encodeObject(definition, object);
      return resourceVersion === undefined ? [bytes] : objectPieces(definition, bytes, Number(resourceVersion));
    },
  };
}
