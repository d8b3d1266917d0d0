import { isExpired, isNotFound, type KubeObject, type ResourceDefinition } from "@isopod/api";
import type { KubeClient } from "@isopod/client";
import { CliError } from "./cli-error.ts";

/**
 * The object as it was given and then in every later state, until it is gone; another object that takes its name is not
 * it. The signal ends it with its reason as the error.
 */
export async function* statesOf<T extends KubeObject>(
  client: KubeClient,
  resource: ResourceDefinition<T>,
  object: T,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  const { namespace = "", name, uid } = object.metadata;
  const options = signal === undefined ? {} : { signal };
  let current = object;
  for (;;) {
    yield current;
    try {
      for await (const event of client.watch(resource, {
        namespace,
        fieldSelector: `metadata.name=${name}`,
        resourceVersion: current.metadata.resourceVersion ?? "0",
        ...options,
      })) {
        if (event.type === "BOOKMARK") continue;
        if (event.type === "DELETED" || event.object.metadata.uid !== uid) return;
        current = event.object;
        yield current;
      }
    } catch (error) {
      if (!isExpired(error)) throw error;
    }
    // The server ended the watch: what happened meanwhile is in the object.
    try {
      current = await client.get(resource, namespace, name, options);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    if (current.metadata.uid !== uid) return;
  }
}

/**
 * The first state of the object, beginning with the given one, for which `isDone` holds.
 * Throws {@link CliError} when the object is deleted before; `what` names its kind for the user.
 */
export async function waitForObject<T extends KubeObject>(
  client: KubeClient,
  resource: ResourceDefinition<T>,
  object: T,
  what: string,
  isDone: (object: T) => boolean,
  signal: AbortSignal,
): Promise<T> {
  for await (const state of statesOf(client, resource, object, signal)) if (isDone(state)) return state;
  const { name } = object.metadata;
  throw new CliError(`the ${what} ${name} was deleted`, { code: "Refused", object: name });
}

interface DeletionOptions {
  readonly gracePeriodSeconds?: number;
}

/** Asks for the object's deletion; false when it is gone already. */
export async function requestDeletion<T extends KubeObject>(
  client: KubeClient,
  resource: ResourceDefinition<T>,
  object: T,
  options: DeletionOptions = {},
): Promise<boolean> {
  const { namespace, name, uid = "" } = object.metadata;
  try {
    await client.delete(resource, namespace, name, { body: { preconditions: { uid }, ...options } });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** Deletes the object and waits until it is gone: its owners have cleaned up then. */
export async function deleteAndWait<T extends KubeObject>(
  client: KubeClient,
  resource: ResourceDefinition<T>,
  object: T,
  options: DeletionOptions = {},
): Promise<void> {
  if (!(await requestDeletion(client, resource, object, options))) return;
  // Its states are of no interest, only their end.
  for await (const _state of statesOf(client, resource, object));
}
