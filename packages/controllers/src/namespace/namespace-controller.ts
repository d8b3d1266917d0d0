import {
  isAlreadyExists,
  isForbidden,
  isNotFound,
  type Namespace,
  type ResourceDefinition,
  resourceDefinitions,
  resources,
  type ServiceAccount,
} from "@isopod/api";
import { Informer, splitKey, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";
import { ignoreNotFound } from "../ignore-not-found.ts";

/** How long until a namespace whose pods still stop is looked at again. */
const emptyingDelayMs = 500;

/**
 * Kinds that go with the pods they tell of, and by their own controllers: an interface is in use until its pod is gone,
 * and a usage segment is deleted by the meter once it is in the ledger.
 */
const followingPods = new Set<ResourceDefinition>([resources.networkinterfaces, resources.usagesegments]);

/** Gives every namespace its default service account, and empties the ones that are being deleted. */
export class NamespaceController implements Controller {
  readonly name = "namespace";
  readonly #options: ControllerOptions;
  readonly #namespaces: Informer<Namespace>;
  readonly #accounts: Informer<ServiceAccount>;
  readonly #queue: WorkQueue;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#namespaces = new Informer(resources.namespaces, options);
    this.#accounts = new Informer(resources.serviceaccounts, { ...options, fieldSelector: "metadata.name=default" });
    this.#queue = new WorkQueue({ name: "namespace", ...options });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#namespaces.onChange((name) => this.#queue.add(name));
    this.#accounts.onChange((key, account) => {
      if (account === undefined) this.#queue.add(splitKey(key).namespace ?? "");
    });
    const informing = [this.#namespaces.run(signal), this.#accounts.run(signal)];
    await this.#queue.run(async (name) => await this.#reconcile(name, signal), signal);
    await Promise.all(informing);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined) return;
    if (namespace.metadata.deletionTimestamp === undefined) await this.#ensureServiceAccount(name, signal);
    else await this.#empty(namespace, signal);
  }

  async #ensureServiceAccount(namespace: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const account: ServiceAccount = {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace },
    };
    try {
      await client.get(resources.serviceaccounts, namespace, "default", { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await client.create(resources.serviceaccounts, account, { signal }).catch((cause: unknown) => {
        if (!isAlreadyExists(cause) && !isForbidden(cause) && !isNotFound(cause)) throw cause;
      });
    }
  }

  /** Deletes what is in it, kind by kind; when nothing is left, gives up Kubernetes's hold on the namespace. */
  async #empty(namespace: Namespace, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { name } = namespace.metadata;
    let left = 0;
    for (const resource of resourceDefinitions) {
      if (!resource.namespaced) continue;
      const { items } = await client.list(resource, { namespace: name, signal });
      left += items.length;
      if (followingPods.has(resource)) continue;
      for (const object of items) {
        if (object.metadata.deletionTimestamp !== undefined) continue;
        await ignoreNotFound(client.delete(resource, name, object.metadata.name, { signal }));
      }
    }
    if (left > 0) {
      this.#queue.addAfter(name, emptyingDelayMs);
      return;
    }
    const current = await ignoreNotFound(client.get(resources.namespaces, undefined, name, { signal }));
    if (current === undefined) return;
    const finalizers = (current.spec?.finalizers ?? []).filter((one) => one !== "kubernetes");
    const finalized = { ...current, spec: { ...current.spec, finalizers } };
    await ignoreNotFound(client.update(resources.namespaces, finalized, { subresource: "finalize", signal }));
  }
}
