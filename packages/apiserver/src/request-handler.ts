import { type IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { badRequest } from "@isopod/api";
import { isAbort } from "@isopod/base";
import { Authenticator } from "./auth/authenticate.ts";
import type { ApiServerOptions } from "./contract.ts";
import { Discovery } from "./discovery/discovery.ts";
import { health } from "./discovery/health.ts";
import { versionInfo } from "./discovery/version.ts";
import { sendError, sendJson } from "./http/answer.ts";
import { Warnings } from "./http/warnings.ts";
import type { ObjectStore } from "./objects/object-store.ts";
import type { RequestContext, ServerContext } from "./request-context.ts";
import { route } from "./route.ts";
import { routeUpgrade } from "./route-upgrade.ts";

/** How long the client of a refused upgrade has to read why and go. */
const refusalGraceMs = 3000;

/** Takes requests off the wire, finds out whose they are, and sees to it that each gets an answer. */
export class RequestHandler {
  readonly #server: ServerContext;
  readonly #authenticator: Authenticator;
  readonly #discovery: Discovery;
  readonly #closing = new AbortController();
  /** Requests under way: closing the server aborts them. */
  readonly #active = new Set<AbortController>();

  constructor(options: ApiServerOptions, objects: ObjectStore) {
    this.#server = {
      options,
      objects,
      admission: options.admission ?? [],
      logger: options.logger,
      signal: this.#closing.signal,
    };
    this.#authenticator = new Authenticator(options.tokens);
    this.#discovery = new Discovery(this.#server);
  }

  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const abort = this.#begin();
    const warnings = new Warnings();
    response.once("close", () => {
      this.#active.delete(abort);
      if (!response.writableFinished) abort.abort();
    });
    // An error of the connection ends the response, which aborts the request; it needs no other answer.
    response.on("error", () => {});
    try {
      const url = urlOf(request);
      if (await this.#answerAnonymous(request, response, url)) return;
      await route(this.#context(request, response, url, warnings, abort.signal), this.#discovery);
    } catch (error) {
      if (abort.signal.aborted && isAbort(error)) response.destroy();
      else sendError(response, error, this.#server.logger, warnings);
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const abort = this.#begin();
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#active.delete(abort);
      abort.abort();
    });
    abort.signal.addEventListener("abort", () => socket.destroy(), { once: true });
    // For the answer when there is no upgrade: a plain one on the same connection, which ends with it.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    const warnings = new Warnings();
    try {
      const context = this.#context(request, response, urlOf(request), warnings, abort.signal);
      await routeUpgrade(context, socket, head);
    } catch (error) {
      if (!(socket instanceof Socket) || socket.destroyed) return;
      response.assignSocket(socket);
      // No parser reads this connection any more: unread, its client's end would never be seen, and it would stay.
      socket.resume();
      response.once("finish", () => socket.end());
      const cutOff = setTimeout(() => socket.destroy(), refusalGraceMs);
      socket.once("close", () => clearTimeout(cutOff));
      sendError(response, error, this.#server.logger, warnings);
    }
  }

  /** Ends what is under way: watches end their streams, the rest is cut off. */
  close(): void {
    this.#closing.abort();
    for (const abort of this.#active) abort.abort();
  }

  #begin(): AbortController {
    const abort = new AbortController();
    this.#active.add(abort);
    return abort;
  }

  /** What anybody may ask, credential or not: is it up, and what is it? */
  async #answerAnonymous(request: IncomingMessage, response: ServerResponse, url: URL): Promise<boolean> {
    if (request.method !== "GET" && request.method !== "HEAD") return false;
    if (url.pathname === "/version") {
      sendJson(response, 200, JSON.stringify(versionInfo));
      return true;
    }
    return await health(this.#server, url, response);
  }

  /** Throws Unauthorized. */
  #context(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    warnings: Warnings,
    signal: AbortSignal,
  ): RequestContext {
    const user = this.#authenticator.authenticate(request);
    // Ignoring it would answer as somebody else than the client believes to be.
    if (request.headers["impersonate-user"] !== undefined)
      throw badRequest("impersonation is not supported by Isopod yet");
    return { server: this.#server, request, response, url, query: url.searchParams, user, warnings, signal };
  }
}

function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? "/", "https://apiserver");
  } catch (cause) {
    throw badRequest("the request's path is not a valid URL", cause);
  }
}
