import type { KubeObject, ResourceDefinition } from "@isopod/api";
import type { Clock, Logger } from "@isopod/base";
import type { Store } from "@isopod/store";

/** Who sends a request, as authentication found out. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export interface TokenCredential {
  readonly token: string;
  readonly user: string;
  readonly groups: readonly string[];
}

export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
  /** Client certificates signed by this authority are believed: CN is the user, each O a group. */
  readonly clientCaPem: string;
}

/** How the server shows itself to the kubelet ports of nodes, and whom it believes there. */
export interface KubeletClient {
  readonly certPem: string;
  readonly keyPem: string;
  readonly caPem: string;
}

/** One resource in a discovery document (`meta.k8s.io/v1 APIResource`). */
export interface ApiResource {
  readonly name: string;
  readonly singularName: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly group?: string;
  readonly version?: string;
}

export interface AggregatedRequest {
  readonly method: string;
  /** Below `/apis/GROUP/VERSION`, with its leading slash; empty for the version itself. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** At most 3 MiB. */
  readonly body: Uint8Array;
  readonly user: User;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}

/** A group version served by somebody else in this process, as an aggregated API server would. */
export interface AggregatedApi {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ApiResource[];
  /** `body` is sent as JSON. An `ApiError` thrown becomes its Status. */
  handle(request: AggregatedRequest): Promise<{ readonly status: number; readonly body: unknown }>;
}

export interface AdmissionRequest {
  readonly operation: "CREATE" | "UPDATE" | "DELETE";
  readonly definition: ResourceDefinition;
  readonly subresource: string | undefined;
  /** Defaults are filled in. For a delete, the object to go. */
  readonly object: KubeObject;
  readonly oldObject: KubeObject | undefined;
  readonly user: User;
  readonly isDryRun: boolean;
  /** Shown to the user of kubectl. */
  warn(message: string): void;
}

/**
 * Looks at a write before it is validated and stored, and returns the object to go on with (ignored for a delete).
 * Refuses by throwing an `ApiError`. May be called again for the same request when another writer came first.
 */
export type AdmissionHook = (request: AdmissionRequest) => Promise<KubeObject> | KubeObject;

export interface ApiServerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Address to listen on. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls: ServerTls;
  readonly tokens: readonly TokenCredential[];
  readonly kubeletClient: KubeletClient;
  readonly admission?: readonly AdmissionHook[];
  readonly aggregated?: readonly AggregatedApi[];
  /** How often a watch that allows bookmarks gets one; default 60 s. */
  readonly bookmarkIntervalMs?: number;
  /** A watcher that takes nothing for this long is ended; default 30 s. */
  readonly slowWatcherMs?: number;
  /** Host to name in `url` when listening on every address; default `host`. */
  readonly publicHost?: string;
}

export interface ApiServer {
  /** `https://127.0.0.1:6443`. */
  readonly url: string;
  readonly port: number;
  /** Ends watches and streams, then the listener. */
  close(): Promise<void>;
}
