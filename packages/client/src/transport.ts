import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ApiError, type Status } from "@isopod/api";
import { isAbort } from "@isopod/base";
import { ClientError, translateConnectionError } from "./client-error.ts";

/** Where an API server is and how to be known to it. */
export interface ClientConfig {
  /** `https://host:port`, no path. */
  readonly server: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly caPem: string;
  readonly token?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  /** Namespace used by callers that name none; default `default`. */
  readonly namespace?: string;
  readonly userAgent?: string;
}

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** Sent as it is; a plain object is sent as JSON. */
  readonly body?: Readable | Uint8Array | string | object;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Called with each `Warning` header's text. */
  readonly onWarning?: (text: string) => void;
  /** No answer within this time is an error; 0 waits for ever; default 60 s. */
  readonly timeoutMs?: number;
}

/** An answer below 400. The body must be read to its end, or destroyed. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
}

const defaultTimeoutMs = 60_000;

/** Answers the API gives as one piece stay below this; a list of 100,000 pods does. */
const maxJsonBytes = 1024 * 1024 * 1024;

/** Connections for calls that end soon. A TLS handshake costs more than most calls: a burst waits its turn instead. */
const maxCallSockets = 32;

/** HTTPS to one API server over kept-alive connections. */
export class Transport implements Disposable {
  readonly config: ClientConfig;
  readonly #tls: Pick<AgentOptions, "ca" | "cert" | "key">;
  readonly #calls: Agent;
  /** Watches, logs and uploads hold a connection for as long as they like, and must not keep the calls waiting. */
  readonly #streams: Agent;
  readonly #base: URL;

  /** Throws {@link ClientError} `InvalidKubeconfig` when the server is no HTTPS URL. */
  constructor(config: ClientConfig) {
    this.config = config;
    const base = URL.parse(config.server);
    if (base?.protocol !== "https:") {
      throw new ClientError(`the server ${JSON.stringify(config.server)} is no HTTPS URL`, {
        code: "InvalidKubeconfig",
        object: config.server,
        remedy: "Name it as in https://127.0.0.1:6443.",
      });
    }
    this.#base = base;
    this.#tls = {
      ca: config.caPem,
      ...(config.certPem === undefined ? {} : { cert: config.certPem }),
      ...(config.keyPem === undefined ? {} : { key: config.keyPem }),
    };
    this.#calls = new Agent({ keepAlive: true, maxSockets: maxCallSockets, ...this.#tls });
    this.#streams = new Agent({ keepAlive: true, ...this.#tls });
  }

  get tls(): Pick<AgentOptions, "ca" | "cert" | "key"> {
    return this.#tls;
  }

  /** Headers that identify the caller; a WebSocket needs them too. */
  get identity(): Readonly<Record<string, string>> {
    const { token, userAgent } = this.config;
    return {
      "user-agent": userAgent ?? "isopod",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  }

  url(path: string, query: RequestOptions["query"] = {}): URL {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query)) {
      if (value === undefined) continue;
      for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(one));
    }
    return url;
  }

  /**
   * Sends one request and resolves with its answer's head.
   * Throws {@link ApiError} for an answer of 400 and above, {@link ClientError} when the server cannot be reached.
   */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    return await this.#send(this.#streams, method, path, options);
  }

  /** Sends one request and resolves with its whole JSON answer, `undefined` when it is empty. Throws as {@link send}. */
  async json(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const answer = await this.#send(this.#calls, method, path, options);
    let text: string;
    try {
      text = await readText(answer.body, maxJsonBytes, options.timeoutMs ?? defaultTimeoutMs);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw error;
    }
    if (text === "") return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new ClientError(`${method} ${path}: the answer of ${this.#base.host} is not JSON`, {
        code: "BrokenStream",
        object: this.config.server,
        remedy: "See whether KUBECONFIG names a Kubernetes API server.",
        cause,
      });
    }
  }

  async #send(agent: Agent, method: string, path: string, options: RequestOptions): Promise<Answer> {
    const message = await this.#request(agent, method, path, options);
    for (const text of warnings(message.headers["warning"])) options.onWarning?.(text);
    const status = message.statusCode ?? 0;
    if (status >= 400 || status < 200) throw await errorFrom(message, `${method} ${path}`);
    return { status, headers: message.headers, body: message };
  }

  async #request(
    agent: Agent,
    method: string,
    path: string,
    options: RequestOptions,
    isSecondTry = false,
  ): Promise<IncomingMessage> {
    const { body, contentType, signal, timeoutMs = defaultTimeoutMs } = options;
    signal?.throwIfAborted();
    const isPlain = typeof body === "string" || body instanceof Uint8Array || isReadable(body);
    const payload = body === undefined || isPlain ? body : JSON.stringify(body);
    const request = httpsRequest(this.url(path, options.query), {
      method,
      agent,
      headers: {
        ...this.identity,
        accept: options.accept ?? "application/json",
        ...(payload === undefined ? {} : { "content-type": contentType ?? "application/json" }),
        ...(typeof payload === "string" || payload instanceof Uint8Array
          ? { "content-length": Buffer.byteLength(payload) }
          : {}),
      },
    });
    if (signal !== undefined) destroyOnAbort(request, signal);
    const timer =
      timeoutMs === 0 || isReadable(payload)
        ? undefined
        : setTimeout(() => {
            request.destroy(
              new ClientError(`${method} ${path}: no answer from ${this.#base.host} within ${timeoutMs / 1000} s`, {
                code: "Timeout",
                object: this.config.server,
                remedy: "See whether the service is overloaded, and try again.",
              }),
            );
          }, timeoutMs);
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        request.on("error", reject);
        request.on("response", resolve);
        if (isReadable(payload)) {
          // The request's own error event tells of a server that hangs up in mid-upload.
          pipeline(payload, request).catch(() => {});
        } else request.end(payload);
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Error)) throw error;
      // The server closed an idle connection in the moment it was used again; it has seen nothing of the request.
      const isStale = request.reusedSocket && "code" in error && error.code === "ECONNRESET";
      if (isStale && method === "GET" && !isSecondTry) return await this.#request(agent, method, path, options, true);
      throw translateConnectionError(error, this.config.server);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#calls.destroy();
    this.#streams.destroy();
  }
}

/**
 * In place of Node's `signal` option: that one destroys the socket even when it is back with the keep-alive agent, and an
 * error there, heard by nobody, would end the process.
 */
function destroyOnAbort(request: ClientRequest, signal: AbortSignal): void {
  let message: IncomingMessage | undefined;
  const onAbort = (): void => {
    const reason: unknown = signal.reason;
    const error = reason instanceof Error ? reason : new Error("aborted", { cause: reason });
    if (message === undefined) request.destroy(error);
    else if (!message.complete) message.destroy(error);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  request.once("response", (response) => {
    message = response;
    response.once("close", () => signal.removeEventListener("abort", onAbort));
  });
  request.once("close", () => signal.removeEventListener("abort", onAbort));
}

function isReadable(body: unknown): body is Readable {
  return typeof body === "object" && body !== null && "pipe" in body;
}

/** `299 - "text"` → text; several are separated by commas outside quotes. */
export function warnings(header: string | readonly string[] | undefined): string[] {
  if (header === undefined) return [];
  const text = typeof header === "string" ? header : header.join(", ");
  return [...text.matchAll(/\b\d{3} [^ "]+ "((?:[^"\\]|\\.)*)"/g)].map((match) =>
    (match[1] ?? "").replace(/\\(.)/g, "$1"),
  );
}

/**
 * The whole body as text. Throws {@link ClientError}: `AnswerTooLarge`, `BrokenStream` when it ends early, `Timeout` when
 * nothing of it comes for `idleTimeoutMs` (default 60 s; 0 waits for ever).
 */
export async function readText(
  message: IncomingMessage,
  maxBytes: number,
  idleTimeoutMs = defaultTimeoutMs,
): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const timer =
    idleTimeoutMs === 0
      ? undefined
      : setTimeout(() => {
          message.destroy(
            new ClientError(`nothing more of the answer came for ${idleTimeoutMs / 1000} s`, {
              code: "Timeout",
              remedy: "See whether the service is overloaded, and try again.",
            }),
          );
        }, idleTimeoutMs);
  try {
    for await (const chunk of message) {
      timer?.refresh();
      const bytes = Buffer.from(chunk);
      sizeBytes += bytes.length;
      if (sizeBytes > maxBytes) {
        throw new ClientError(`the answer is longer than ${maxBytes} bytes`, { code: "AnswerTooLarge" });
      }
      chunks.push(bytes);
    }
  } catch (cause) {
    if (cause instanceof ClientError || isAbort(cause)) throw cause;
    throw new ClientError("the connection ended before the answer did", {
      code: "BrokenStream",
      remedy: "See whether the service was restarted, and try again.",
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The {@link ApiError} an answer of 400 and above stands for. Reads the answer to its end. */
export async function errorFrom(message: IncomingMessage, what: string): Promise<ApiError> {
  const status = message.statusCode ?? 0;
  const text = await readText(message, 1024 * 1024).catch(() => "");
  try {
    const body: unknown = JSON.parse(text);
    if (isStatus(body)) return new ApiError(body);
  } catch {
    // Not a Kubernetes status: a proxy in between, or the node agent's plain text.
  }
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: text.trim() === "" ? `${what}: the server answered ${status}` : text.trim().slice(0, 4096),
    code: status,
  });
}

function isStatus(body: unknown): body is Status {
  return typeof body === "object" && body !== null && "kind" in body && body.kind === "Status" && "code" in body;
}
