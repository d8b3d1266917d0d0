import {
  alreadyExists,
  conflict,
  expired,
  internal,
  type KubeObject,
  notFound,
  type ResourceDefinition,
  serviceUnavailable,
} from "@isopod/api";
import type { Clock } from "@isopod/base";
import { isStoreError, type Store, type StoredValue } from "@isopod/store";
import { ObjectCache } from "./object-cache.ts";
import { encodeObject } from "./object-json.ts";
import { objectKey, type ObjectReference, referenceOf } from "./object-key.ts";
import { type ObjectVersion, storedVersion } from "./object-version.ts";

/** An object and the store's version of it, for compare-and-swap. */
export interface CurrentObject {
  readonly stored: StoredValue;
  readonly object: KubeObject;
}

/** The store in terms of objects: keys, encoding, and store errors turned into API errors. */
export class ObjectStore {
  readonly store: Store;
  readonly clock: Clock;
  readonly cache = new ObjectCache();

  constructor(store: Store, clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  async find(definition: ResourceDefinition, reference: ObjectReference): Promise<CurrentObject | undefined> {
    const stored = await this.store.get(objectKey(definition, reference));
    return stored === undefined ? undefined : { stored, object: this.cache.decode(stored) };
  }

  /** Throws NotFound. */
  async get(definition: ResourceDefinition, reference: ObjectReference): Promise<CurrentObject> {
    const found = await this.find(definition, reference);
    if (found === undefined) throw notFound(definition, reference.name);
    return found;
  }

  version(definition: ResourceDefinition, stored: StoredValue, revision?: number): ObjectVersion {
    return storedVersion(definition, stored, this.cache, revision);
  }

  /** Throws AlreadyExists. */
  async create(definition: ResourceDefinition, object: KubeObject): Promise<ObjectVersion> {
    const reference = referenceOf(object);
    return await translating(definition, reference.name, async () => {
      const stored = await this.store.create(objectKey(definition, reference), encodeObject(definition, object));
      return this.version(definition, stored);
    });
  }

  /** Throws Conflict when `current` no longer is, NotFound when it is gone. */
  async update(definition: ResourceDefinition, current: StoredValue, object: KubeObject): Promise<ObjectVersion> {
    return await translating(definition, object.metadata.name, async () => {
      const stored = await this.store.update(current.key, encodeObject(definition, object), current.modRevision);
      return this.version(definition, stored);
    });
  }

  /** Throws Conflict when `current` no longer is. Returns the revision of the deletion. */
  async delete(definition: ResourceDefinition, { stored, object }: CurrentObject): Promise<number> {
    return await translating(definition, object.metadata.name, async () => {
      return (await this.store.delete(stored.key, stored.modRevision)).modRevision;
    });
  }
}

async function translating<T>(definition: ResourceDefinition, name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw apiErrorOf(definition, name, error);
  }
}

/** The one place where errors of the store become answers; other errors come back as they are. */
export function apiErrorOf(definition: ResourceDefinition, name: string, error: unknown): unknown {
  if (!isStoreError(error)) return error;
  switch (error.code) {
    case "AlreadyExists":
      return alreadyExists(definition, name);
    case "NotFound":
      return notFound(definition, name);
    case "Conflict":
      return conflict(definition, name);
    case "Compacted":
      return expired("The resourceVersion for the provided list is too old.");
    case "NoSpace":
      return serviceUnavailable(`the data directory is full: ${error.remedy ?? error.message}`, error);
    case "Closed":
    case "Locked":
      return serviceUnavailable("the API server is shutting down", error);
    default:
      return internal(error.message, error);
  }
}
