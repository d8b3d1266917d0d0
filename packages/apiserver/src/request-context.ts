import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "@isopod/base";
import type { AdmissionHook, ApiServerOptions, User } from "./contract.ts";
import type { Warnings } from "./http/warnings.ts";
import type { ObjectStore } from "./objects/object-store.ts";

/** What every request handler may use of the server. */
export interface ServerContext {
  readonly options: ApiServerOptions;
  readonly objects: ObjectStore;
  readonly admission: readonly AdmissionHook[];
  readonly logger: Logger;
  /** Aborts when the server closes. */
  readonly signal: AbortSignal;
}

/** One request under way. */
export interface RequestContext {
  readonly server: ServerContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly warnings: Warnings;
  /** Aborts when the client goes away or the server closes. */
  readonly signal: AbortSignal;
}
