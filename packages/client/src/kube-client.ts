import { apiVersionOf, type DeleteOptions, type KubeObject, type List, type ResourceDefinition } from "@isopod/api";
import { pathOf } from "./resource.ts";
import { type Answer, type ClientConfig, type RequestOptions, Transport } from "./transport.ts";
import { readWatch, type WatchEvent } from "./watch.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onWarning?: (text: string) => void;
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface WatchOptions extends ListOptions {
  readonly resourceVersion: string;
  readonly timeoutSeconds?: number;
}

export const patchTypes = Object.freeze({
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
});

/** Pages of this many objects keep one answer small. */
const pageSize = 500;
/** How much later than its own time-out a server may end a watch. */
const overdueSeconds = 30;

/**
 * The typed verbs of the Kubernetes API.
 *
 * Every method throws `ApiError` with the server's status, or `ClientError` when the server cannot be reached.
 */
export class KubeClient implements Disposable {
  readonly transport: Transport;

  constructor(config: ClientConfig) {
    this.transport = new Transport(config);
  }

  get config(): ClientConfig {
    return this.transport.config;
  }

  async get<T extends KubeObject>(
    resource: ResourceDefinition<T>,
    namespace: string | undefined,
    name: string,
    options: CallOptions = {},
  ): Promise<T> {
    return (await this.transport.json("GET", pathOf(resource, namespace, name), options)) as T;
  }

  /** The whole list, fetched in pages that are all true of one revision. */
  async list<T extends KubeObject>(resource: ResourceDefinition<T>, options: ListOptions = {}): Promise<List<T>> {
    const items: T[] = [];
    for (let token: string | undefined; ; ) {
      const page = (await this.transport.json("GET", pathOf(resource, options.namespace), {
        ...options,
        query: {
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          limit: pageSize,
          continue: token,
        },
      })) as List<T>;
      for (const item of page.items) items.push(typed(resource, item));
      token = page.metadata.continue;
      if (token === undefined || token === "") return { ...page, items };
    }
  }

  async create<T extends KubeObject>(
    resource: ResourceDefinition<T>,
    object: T,
    options: CallOptions & { readonly isDryRun?: boolean } = {},
  ): Promise<T> {
    return (await this.transport.json("POST", pathOf(resource, object.metadata.namespace), {
      ...options,
      query: { dryRun: options.isDryRun === true ? "All" : undefined },
      body: object,
    })) as T;
  }

  /** Replaces the object; `metadata.resourceVersion` makes it a compare-and-swap. */
  async update<T extends KubeObject>(
    resource: ResourceDefinition<T>,
    object: T,
    options: CallOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    return (await this.transport.json("PUT", pathOf(resource, namespace, name, options.subresource), {
      ...options,
      body: object,
    })) as T;
  }

  async patch<T extends KubeObject>(
    resource: ResourceDefinition<T>,
    namespace: string | undefined,
    name: string,
    patch: object,
    options: CallOptions & { readonly subresource?: string; readonly type?: keyof typeof patchTypes } = {},
  ): Promise<T> {
    return (await this.transport.json("PATCH", pathOf(resource, namespace, name, options.subresource), {
      ...options,
      body: patch,
      contentType: patchTypes[options.type ?? "merge"],
    })) as T;
  }

  /** Resolves when the server took the request; the object may stay for its grace period and finalizers. */
  async delete(
    resource: ResourceDefinition,
    namespace: string | undefined,
    name: string,
    options: CallOptions & { readonly body?: Omit<DeleteOptions, "apiVersion" | "kind"> } = {},
  ): Promise<void> {
    await this.transport.json("DELETE", pathOf(resource, namespace, name), {
      ...options,
      ...(options.body === undefined ? {} : { body: { apiVersion: "v1", kind: "DeleteOptions", ...options.body } }),
    });
  }

  /**
   * Every change after `resourceVersion`, until the server's time-out ends the stream; the signal ends it with its reason
   * as the error. Throws `ApiError` `Expired` when the server no longer knows what happened since.
   */
  async *watch<T extends KubeObject>(
    resource: ResourceDefinition<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const { signal, timeoutSeconds } = options;
    const answer = await this.transport.send("GET", pathOf(resource, options.namespace), {
      ...(signal === undefined ? {} : { signal }),
      ...(options.onWarning === undefined ? {} : { onWarning: options.onWarning }),
      query: {
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: options.resourceVersion,
        labelSelector: options.labelSelector,
        fieldSelector: options.fieldSelector,
        timeoutSeconds,
      },
    });
    // A server that vanished without a word would be waited for until TCP gives it up.
    const overdue =
      timeoutSeconds === undefined
        ? undefined
        : setTimeout(() => answer.body.destroy(), (timeoutSeconds + overdueSeconds) * 1000).unref();
    try {
      for await (const event of readWatch<T>(answer.body)) {
        yield event.type === "BOOKMARK" ? event : { type: event.type, object: typed(resource, event.object) };
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(overdue);
      answer.body.destroy();
    }
  }

  /** Any other path of the server, logs and node proxies among them. */
  async send(method: string, path: string, options?: RequestOptions): Promise<Answer> {
    return await this.transport.send(method, path, options);
  }

  [Symbol.dispose](): void {
    this.transport[Symbol.dispose]();
  }
}

/** kube-apiserver leaves kind and version out of the items of a list of its own kinds. */
function typed<T extends KubeObject>(resource: ResourceDefinition<T>, object: T): T {
  if ((object.kind ?? "") !== "") return object;
  return { ...object, kind: resource.kind, apiVersion: apiVersionOf(resource) };
}
