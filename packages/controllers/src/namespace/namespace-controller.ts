import {
  isAlreadyExists,
  isForbidden,
  isNotFound,
  type Namespace,
  resourceDefinitions,
  resources,
  type ServiceAccount,
} from "@isopod/api";
import { Informer, pathOf, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";

/** How long until a namespace whose pods still stop is looked at again. */
const emptyingDelayMs = 500;

/** Gives every namespace its default service account, and empties the ones that are being deleted. */
export class NamespaceController implements Controller {
  readonly name = "namespace";
  readonly #options: ControllerOptions;
  readonly #namespaces: Informer<Namespace>;
  readonly #queue: WorkQueue;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#namespaces = new Informer(resources.namespaces, options);
    this.#queue = new WorkQueue({ name: "namespace", ...options });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#namespaces.onChange((name) => this.#queue.add(name));
    const informing = this.#namespaces.run(signal);
    await this.#queue.run(async (name) => await this.#reconcile(name, signal), signal);
    await informing;
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
      for (const object of items) {
        if (object.metadata.deletionTimestamp !== undefined) continue;
        await client.delete(resource, name, object.metadata.name, { signal }).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      }
    }
    if (left > 0) {
      this.#queue.addAfter(name, emptyingDelayMs);
      return;
    }
    const current = await client.get(resources.namespaces, undefined, name, { signal }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    if (current === undefined) return;
    const finalizers = (current.spec?.finalizers ?? []).filter((one) => one !== "kubernetes");
    await client.transport.json("PUT", pathOf(resources.namespaces, undefined, name, "finalize"), {
      signal,
      body: { ...current, spec: { ...current.spec, finalizers } },
    });
  }
}
