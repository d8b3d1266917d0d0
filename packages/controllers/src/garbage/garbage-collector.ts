import {
  findKind,
  isConflict,
  isNotFound,
  type KubeObject,
  type OwnerReference,
  type ResourceDefinition,
  resourceDefinitions,
} from "@isopod/api";
import { Informer, keyOf, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";

const foreground = "foregroundDeletion";
const orphan = "orphan";

interface Watched {
  readonly resource: ResourceDefinition;
  readonly informer: Informer<KubeObject>;
}

/** Kinds that own nothing and are owned by nothing; watching every event would cost more than all others together. */
const ignored = new Set(["Event"]);

/**
 * Owner references: an object goes when every owner is gone; an owner deleted in the foreground waits for the dependents
 * that block it; an owner deleted with `Orphan` lets its dependents go free first.
 *
 * An owner missing from the local copies is looked up in the API before anything is deleted on its account.
 */
export class GarbageCollector implements Controller {
  readonly name = "garbage-collector";
  readonly #options: ControllerOptions;
  readonly #watched: readonly Watched[];
  readonly #dependents = new Map<string, Set<string>>();
  readonly #queue: WorkQueue;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#watched = resourceDefinitions
      .filter((resource) => !ignored.has(resource.kind))
      .map((resource) => ({ resource, informer: new Informer<KubeObject>(resource, options) }));
    this.#queue = new WorkQueue({ name: "garbage-collector", ...options });
  }

  async run(signal: AbortSignal): Promise<void> {
    for (const [index, { informer }] of this.#watched.entries()) {
      informer.onChange((key, current, previous) => this.#note(`${index} ${key}`, current, previous));
    }
    const running = this.#watched.map(async ({ informer }) => await informer.run(signal));
    await Promise.race([Promise.all(this.#watched.map((one) => one.informer.ready)), Promise.all(running)]);
    await this.#queue.run(async (id) => await this.#reconcile(id, signal), signal);
    await Promise.all(running);
  }

  #note(id: string, current: KubeObject | undefined, previous: KubeObject | undefined): void {
    for (const { uid } of previous?.metadata.ownerReferences ?? []) this.#dependents.get(uid)?.delete(id);
    for (const { uid } of current?.metadata.ownerReferences ?? []) {
      const known = this.#dependents.get(uid) ?? new Set();
      known.add(id);
      this.#dependents.set(uid, known);
    }
    const isOwned = (current?.metadata.ownerReferences ?? []).length > 0;
    if (isOwned || current?.metadata.deletionTimestamp !== undefined) this.#queue.add(id);
    // Owners that wait for this dependent, and dependents that wait for this owner.
    const uid = previous?.metadata.uid ?? current?.metadata.uid ?? "";
    if (current === undefined || current.metadata.deletionTimestamp !== undefined) {
      for (const dependent of this.#dependents.get(uid) ?? []) this.#queue.add(dependent);
    }
    if (current === undefined) {
      for (const owner of previous?.metadata.ownerReferences ?? []) this.#addOwner(owner, previous?.metadata.namespace);
    }
  }

  #addOwner(owner: OwnerReference, namespace: string | undefined): void {
    const resource = findKind(owner.apiVersion, owner.kind);
    const index = this.#watched.findIndex((one) => one.resource === resource);
    if (resource === undefined || index < 0) return;
    this.#queue.add(`${index} ${resource.namespaced ? `${namespace}/${owner.name}` : owner.name}`);
  }

  async #reconcile(id: string, signal: AbortSignal): Promise<void> {
    const space = id.indexOf(" ");
    const watched = this.#watched[Number(id.slice(0, space))];
    const object = watched?.informer.get(id.slice(space + 1));
    if (watched === undefined || object === undefined) return;
    const { resource } = watched;
    const finalizers = object.metadata.finalizers ?? [];
    if (object.metadata.deletionTimestamp !== undefined) {
      if (finalizers.includes(orphan)) await this.#freeDependents(resource, object, signal);
      else if (finalizers.includes(foreground)) await this.#awaitDependents(resource, object, signal);
      return;
    }
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0) return;
    const states = await Promise.all(owners.map(async (owner) => await this.#stateOf(owner, object, signal)));
    if (states.includes("present")) return;
    const propagationPolicy = states.includes("waiting") ? "Foreground" : "Background";
    await this.#ignoringRaces(
      this.#options.client.delete(resource, object.metadata.namespace, object.metadata.name, {
        signal,
        body: { propagationPolicy, preconditions: { uid: object.metadata.uid ?? "" } },
      }),
    );
  }

  async #stateOf(
    owner: OwnerReference,
    object: KubeObject,
    signal: AbortSignal,
  ): Promise<"present" | "absent" | "waiting"> {
    const resource = findKind(owner.apiVersion, owner.kind);
    // A kind this server does not know: nobody can say that the owner is gone.
    if (resource === undefined) return "present";
    try {
      const found = await this.#options.client.get<KubeObject>(
        resource,
        resource.namespaced ? object.metadata.namespace : undefined,
        owner.name,
        { signal },
      );
      if (found.metadata.uid !== owner.uid) return "absent";
      const isWaiting =
        found.metadata.deletionTimestamp !== undefined && (found.metadata.finalizers ?? []).includes(foreground);
      return isWaiting ? "waiting" : "present";
    } catch (error) {
      if (isNotFound(error)) return "absent";
      throw error;
    }
  }

  #dependentsOf(object: KubeObject): { readonly resource: ResourceDefinition; readonly object: KubeObject }[] {
    const found = [];
    for (const id of this.#dependents.get(object.metadata.uid ?? "") ?? []) {
      const space = id.indexOf(" ");
      const watched = this.#watched[Number(id.slice(0, space))];
      const dependent = watched?.informer.get(id.slice(space + 1));
      if (watched !== undefined && dependent !== undefined)
        found.push({ resource: watched.resource, object: dependent });
    }
    return found;
  }

  async #freeDependents(resource: ResourceDefinition, owner: KubeObject, signal: AbortSignal): Promise<void> {
    for (const dependent of this.#dependentsOf(owner)) {
      const { namespace, name, uid, ownerReferences = [] } = dependent.object.metadata;
      const kept = ownerReferences.filter((one) => one.uid !== owner.metadata.uid);
      await this.#ignoringRaces(
        this.#options.client.patch(
          dependent.resource,
          namespace,
          name,
          { metadata: { uid, ownerReferences: kept } },
          { signal },
        ),
      );
    }
    await this.#removeFinalizer(resource, owner, orphan, signal);
  }

  async #awaitDependents(resource: ResourceDefinition, owner: KubeObject, signal: AbortSignal): Promise<void> {
    const dependents = this.#dependentsOf(owner);
    for (const { object } of dependents) {
      const index = this.#watched.findIndex((one) => one.informer.get(keyOf(object)) === object);
      this.#queue.add(`${index} ${keyOf(object)}`);
    }
    const isBlocked = dependents.some(({ object }) =>
      object.metadata.ownerReferences?.some((one) => one.uid === owner.metadata.uid && one.blockOwnerDeletion === true),
    );
    if (!isBlocked) await this.#removeFinalizer(resource, owner, foreground, signal);
  }

  async #removeFinalizer(
    resource: ResourceDefinition,
    object: KubeObject,
    finalizer: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { namespace, name, resourceVersion, finalizers = [] } = object.metadata;
    const kept = finalizers.filter((one) => one !== finalizer);
    await this.#ignoringRaces(
      this.#options.client.patch(
        resource,
        namespace,
        name,
        { metadata: { resourceVersion, finalizers: kept } },
        { signal },
      ),
    );
  }

  async #ignoringRaces(call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (error) {
      // The watch brings the newer version, and with it another look.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}
