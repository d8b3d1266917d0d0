import { isDeepStrictEqual } from "node:util";
import { conflict, isConflict, type KubeObject, type ResourceDefinition } from "@isopod/api";
import type { ObjectReference } from "../objects/object-key.ts";
import type { CurrentObject, ObjectStore } from "../objects/object-store.ts";
import { type ObjectVersion, unstoredVersion } from "../objects/object-version.ts";
import { isNamespace } from "../objects/kinds.ts";

/** Every lost race means that another writer got through; beyond this many the client had better look again. */
const maxAttempts = 20;

export interface Change {
  readonly version: ObjectVersion;
  /** The change took away the last thing that kept an object under deletion. */
  readonly isDeleted: boolean;
}

/**
 * Reads, changes and writes an object until no other writer comes in between. `change` gets the current version and
 * returns the next one; it runs again for each attempt, and throws to give up (as for a version the client named that
 * is no longer current). A change that changes nothing writes nothing.
 * Throws NotFound, Conflict.
 */
export async function changeObject(
  objects: ObjectStore,
  definition: ResourceDefinition,
  reference: ObjectReference,
  isDryRun: boolean,
  change: (current: KubeObject) => Promise<KubeObject> | KubeObject,
): Promise<Change> {
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const current = await objects.get(definition, reference);
    const next = await change(current.object);
    try {
      return await write(objects, definition, current, next, isDryRun);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  throw conflict(definition, reference.name);
}

async function write(
  objects: ObjectStore,
  definition: ResourceDefinition,
  current: CurrentObject,
  next: KubeObject,
  isDryRun: boolean,
): Promise<Change> {
  if (isReadyToGo(next, current.object)) {
    if (!isDryRun) await objects.delete(definition, current);
    return { version: unstoredVersion(definition, next), isDeleted: true };
  }
  if (isDeepStrictEqual(next, current.object)) {
    return { version: objects.version(definition, current.stored), isDeleted: false };
  }
  if (isDryRun) return { version: unstoredVersion(definition, next), isDeleted: false };
  return { version: await objects.update(definition, current.stored, next), isDeleted: false };
}

/** Deletion has begun, its grace is over, and no finalizer is left. */
function isReadyToGo(next: KubeObject, current: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = current.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds > 0) return false;
  if ((next.metadata.finalizers ?? []).length > 0) return false;
  return namespaceFinalizers(next).length === 0;
}

export function namespaceFinalizers(namespace: KubeObject): readonly string[] {
  return isNamespace(namespace) ? (namespace.spec?.finalizers ?? []) : [];
}
