import { ApiError, isExpired, type KubeObject, type ResourceDefinition } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";
import type { KubeClient } from "./kube-client.ts";

/** `namespace/name`, or the name of a cluster-scoped object. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export interface InformerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

/** A watch that ended sooner was not ended by its time-out. */
const shortWatchMs = 1000;

/** `current` is undefined when the object is gone, `previous` when it is new to this informer. */
export type ChangeHandler<T> = (key: string, current: T | undefined, previous: T | undefined) => void;

/**
 * A local copy of a collection, kept up to date: list, then watch from there, and again from a list after 410.
 *
 * An object that was deleted and made anew while nobody watched is told as two changes: the old one gone, the new one
 * there.
 *
 * Handlers run synchronously after the copy has changed; they should only note the key and return.
 */
export class Informer<T extends KubeObject> {
  readonly resource: ResourceDefinition<T>;
  /** Settles with the first complete list, or when {@link run} ends without one. */
  readonly ready: Promise<void>;
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<ChangeHandler<T>>();
  #markReady: () => void = () => {};

  constructor(resource: ResourceDefinition<T>, options: InformerOptions) {
    this.resource = resource;
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Future changes only: a late handler looks at {@link values} first. Returns a function that removes it. */
  onChange(handler: ChangeHandler<T>): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** Lists and watches until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    let failures = 0;
    let revision: string | undefined;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      try {
        revision ??= await this.#list(signal);
        for await (const event of this.#options.client.watch(this.resource, {
          ...this.#selection,
          resourceVersion: revision,
          signal,
          // Under the default idle limits of middle boxes; spread so that watchers do not return together.
          timeoutSeconds: 300 + Math.floor(Math.random() * 300),
        })) {
          failures = 0;
          if (event.type === "BOOKMARK") revision = event.resourceVersion;
          else {
            revision = event.object.metadata.resourceVersion ?? revision;
            this.#apply(event.type, event.object);
          }
        }
        // An end after a while is the server's time-out; a server that ends every watch at once is left in peace.
        if (clock.monotonicMs() - startedMs > shortWatchMs) {
          failures = 0;
          continue;
        }
      } catch (error) {
        if (signal.aborted) break;
        // Too old, or from another server's time: only a new list tells what is true.
        if (error instanceof ApiError && (isExpired(error) || error.status.code === 504)) revision = undefined;
        const log = { kind: this.resource.kind, reason: describeError(error) };
        // Restarts and compactions pass; who is still shut out after a while wants to know why.
        if (failures < 3) logger.debug(log, "watch broke off; trying again");
        else logger.warn(log, "watching keeps failing; trying again");
      }
      await clock.sleep(backoffDelayMs(failures++, { initialMs: 50, maxMs: 10_000 }), signal).catch(() => {});
    }
    this.#markReady();
  }

  get #selection(): { namespace?: string; fieldSelector?: string; labelSelector?: string } {
    const { namespace, fieldSelector, labelSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    };
  }

  async #list(signal: AbortSignal): Promise<string> {
    const list = await this.#options.client.list(this.resource, { ...this.#selection, signal });
    const gone = new Set(this.#objects.keys());
    for (const object of list.items) {
      gone.delete(keyOf(object));
      this.#apply("MODIFIED", object);
    }
    for (const key of gone) this.#remove(key);
    this.#markReady();
    return list.metadata.resourceVersion ?? "0";
  }

  #apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void {
    const key = keyOf(object);
    if (type === "DELETED") return this.#remove(key);
    if (this.#objects.get(key)?.metadata.uid !== object.metadata.uid) this.#remove(key);
    const previous = this.#objects.get(key);
    if (previous !== undefined && previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#objects.set(key, object);
    this.#notify(key, object, previous);
  }

  #remove(key: string): void {
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#notify(key, undefined, previous);
  }

  #notify(key: string, current: T | undefined, previous: T | undefined): void {
    for (const handler of this.#handlers) {
      try {
        handler(key, current, previous);
      } catch (error) {
        this.#options.logger.error({ key, reason: describeError(error) }, "a change handler failed");
      }
    }
  }
}
