import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { ApiError, type Status } from "@isopod/api";
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

/** Answers the API gives as one piece stay below this; a list of 100,000 pods does. */
const maxJsonBytes = 1024 * 1024 * 1024;

/** HTTPS to one API server over kept-alive connections. */
export class Transport implements Disposable {
  readonly config: ClientConfig;
  readonly #agent: Agent;
  readonly #base: URL;

  constructor(config: ClientConfig) {
    this.config = config;
    this.#base = new URL(config.server);
    this.#agent = new Agent({
      keepAlive: true,
      ca: config.caPem,
      ...(config.certPem === undefined ? {} : { cert: config.certPem }),
      ...(config.keyPem === undefined ? {} : { key: config.keyPem }),
    });
  }

  get tls(): Agent["options"] {
    return this.#agent.options;
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
    const { body, contentType, signal, timeoutMs = 60_000 } = options;
    const isPlain = typeof body === "string" || body instanceof Uint8Array || isReadable(body);
    const payload = body === undefined || isPlain ? body : JSON.stringify(body);
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpsRequest(this.url(path, options.query), {
        method,
        agent: this.#agent,
        headers: {
          ...this.identity,
          accept: options.accept ?? "application/json",
          ...(payload === undefined ? {} : { "content-type": contentType ?? "application/json" }),
          ...(typeof payload === "string" || payload instanceof Uint8Array
            ? { "content-length": Buffer.byteLength(payload) }
            : {}),
        },
        ...(signal === undefined ? {} : { signal }),
      });
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
      request.on("error", (error) => {
        clearTimeout(timer);
        reject(translateConnectionError(error, this.config.server));
      });
      request.on("response", (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      if (isReadable(payload)) {
        // The request's own error event tells of a server that hangs up in mid-upload.
        pipeline(payload, request).catch(() => {});
      } else request.end(payload);
    });
    for (const text of warnings(message.headers["warning"])) options.onWarning?.(text);
    const status = message.statusCode ?? 0;
    if (status >= 400 || status < 200) throw await errorFrom(message, status, `${method} ${path}`);
    return { status, headers: message.headers, body: message };
  }

  /** Sends one request and resolves with its whole JSON answer. */
  async json(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const answer = await this.send(method, path, options);
    const text = await readText(answer.body, maxJsonBytes);
    return text === "" ? undefined : JSON.parse(text);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
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

export async function readText(message: IncomingMessage, maxBytes: number): Promise<string> {
  const encoding = message.headers["content-encoding"];
  const source: Readable = encoding === "gzip" ? message.pipe(createGunzip()) : message;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    sizeBytes += bytes.length;
    if (sizeBytes > maxBytes) {
      message.destroy();
      throw new ClientError(`the answer is longer than ${maxBytes} bytes`, { code: "AnswerTooLarge" });
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function errorFrom(message: IncomingMessage, status: number, what: string): Promise<Error> {
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
    reason: "Unknown",
    message: text.trim() === "" ? `${what}: the server answered ${status}` : text.trim().slice(0, 4096),
    code: status,
  });
}

function isStatus(body: unknown): body is Status {
  return typeof body === "object" && body !== null && "kind" in body && body.kind === "Status" && "code" in body;
}
