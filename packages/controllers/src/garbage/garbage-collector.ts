import {
  findKind,
  isConflict,
  isNotFound,
  type KubeObject,
  type OwnerReference,
  type ResourceDefinition,
  resourceDefinitions,
} from "@isopod/api";
import { Informer, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";
import { ignoreNotFound } from "../ignore-not-found.ts";

const foreground = "foregroundDeletion";
const orphan = "orphan";

interface Watched {
  readonly resource: ResourceDefinition;
  readonly informer: Informer<KubeObject>;
}

interface Dependent {
  /** As the queue names it. */
  readonly id: string;
  readonly resource: ResourceDefinition;
  readonly object: KubeObject;
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
    await Promise.all(this.#watched.map(async (one) => await one.informer.ready));
    await this.#queue.run(async (id) => await this.#reconcile(id, signal), signal);
    await Promise.all(running);
  }

  #note(id: string, current: KubeObject | undefined, previous: KubeObject | undefined): void {
    for (const { uid } of previous?.metadata.ownerReferences ?? []) {
      const known = this.#dependents.get(uid);
      known?.delete(id);
      if (known?.size === 0) this.#dependents.delete(uid);
    }
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
    const owners = new Set(current?.metadata.ownerReferences?.map((owner) => owner.uid));
    for (const owner of previous?.metadata.ownerReferences ?? []) {
      if (!owners.has(owner.uid)) this.#addOwner(owner, previous?.metadata.namespace);
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
    if (owners.length > 0) await this.#judge(watched, object, owners, signal);
  }

  /** Follows `attemptToDeleteItem` of kube-controller-manager's garbage collector. */
  async #judge(
    { resource }: Watched,
    object: KubeObject,
    owners: readonly OwnerReference[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#options;
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const states = await Promise.all(owners.map(async (owner) => await this.#stateOf(owner, resource, object, signal)));
    if (states.every((state) => state === "present")) return;
    if (states.includes("present")) {
      // One owner is enough to stay; the others must not wait for it, nor it be judged again on their account.
      const ownerReferences = owners.filter((_, index) => states[index] === "present");
      const patch = { metadata: { uid, resourceVersion, ownerReferences } };
      await this.#ignoringRaces(client.patch(resource, namespace, name, patch, { signal }));
      return;
    }
    const isForeground = states.includes("waiting") && this.#dependentsOf(object).length > 0;
    await this.#ignoringRaces(
      client.delete(resource, namespace, name, {
        signal,
        body: {
          propagationPolicy: isForeground ? "Foreground" : "Background",
          // Whoever gives it another owner meanwhile keeps it.
          preconditions: {
            ...(uid === undefined ? {} : { uid }),
            ...(resourceVersion === undefined ? {} : { resourceVersion }),
          },
        },
      }),
    );
  }

  async #stateOf(
    owner: OwnerReference,
    dependentResource: ResourceDefinition,
    dependent: KubeObject,
    signal: AbortSignal,
  ): Promise<"present" | "absent" | "waiting"> {
    const resource = findKind(owner.apiVersion, owner.kind);
    // A kind this server does not know, or one that lives in some namespace: nobody can say that the owner is gone.
    if (resource === undefined || (resource.namespaced && !dependentResource.namespaced)) return "present";
    const namespace = resource.namespaced ? dependent.metadata.namespace : undefined;
    const copy = this.#watched
      .find((one) => one.resource === resource)
      ?.informer.get(namespace === undefined ? owner.name : `${namespace}/${owner.name}`);
    // The copy may be behind; when it learns of the owner's deletion, the dependents come again.
    const found =
      copy?.metadata.uid === owner.uid
        ? copy
        : await ignoreNotFound(this.#options.client.get<KubeObject>(resource, namespace, owner.name, { signal }));
    if (found?.metadata.uid !== owner.uid) return "absent";
    const isWaiting =
      found.metadata.deletionTimestamp !== undefined && (found.metadata.finalizers ?? []).includes(foreground);
    return isWaiting ? "waiting" : "present";
  }

  #dependentsOf(owner: KubeObject): readonly Dependent[] {
    const found = [];
    for (const id of this.#dependents.get(owner.metadata.uid ?? "") ?? []) {
      const space = id.indexOf(" ");
      const watched = this.#watched[Number(id.slice(0, space))];
      const object = watched?.informer.get(id.slice(space + 1));
      if (watched !== undefined && object !== undefined) found.push({ id, resource: watched.resource, object });
    }
    return found;
  }

  async #freeDependents(resource: ResourceDefinition, owner: KubeObject, signal: AbortSignal): Promise<void> {
    for (const dependent of this.#dependentsOf(owner)) {
      const { namespace, name, uid, resourceVersion, ownerReferences = [] } = dependent.object.metadata;
      const kept = ownerReferences.filter((one) => one.uid !== owner.metadata.uid);
      const patch = { metadata: { uid, resourceVersion, ownerReferences: kept } };
      // A conflict is thrown and tried again: while one of them is not free, the owner must not go.
      await ignoreNotFound(this.#options.client.patch(dependent.resource, namespace, name, patch, { signal }));
    }
    await this.#removeFinalizer(resource, owner, orphan, signal);
  }

  async #awaitDependents(resource: ResourceDefinition, owner: KubeObject, signal: AbortSignal): Promise<void> {
    const dependents = this.#dependentsOf(owner);
    for (const { id, object } of dependents) {
      if (object.metadata.deletionTimestamp === undefined) this.#queue.add(id);
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
