import { type Clock, describeError, isAbort, systemErrorCode } from "@isopod/base";
import { ImageError, type ImageErrorCode } from "../image-error.ts";
import { StallWatch } from "./stall-watch.ts";

export interface TransportOptions {
  readonly clock: Clock;
  /** Hosts (with port when it is not the default one) that may speak plain HTTP; loopback always may. */
  readonly insecureRegistries: readonly string[];
  /** A registry that sends less than 16 KiB in this time is given up. */
  readonly stallTimeoutMs: number;
}

export interface RequestOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** For messages: the image. */
  readonly name: string;
  readonly method?: "GET" | "POST";
}

/** A response whose body is read with {@link HttpTransport.body} or {@link HttpTransport.text}. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly url: URL;
  readonly stream: ReadableStream<Uint8Array> | null;
  /** Ends the request and its connection. */
  readonly abort: () => void;
  readonly name: string;
}

const maxRedirects = 5;

/** HTTP as registries need it: redirects that do not leak credentials, stall detection, and errors in our terms. */
export class HttpTransport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** True for hosts that need no TLS. */
  mayBePlain(host: string): boolean {
    return isLoopback(host) || this.#options.insecureRegistries.includes(host);
  }

  /**
   * Follows redirects; `Authorization` stays behind when the origin changes, and TLS is never left except for hosts
   * that may be plain. Any status below 300 or above 399 is returned.
   * Throws `RegistryUnreachable`, `RegistryStalled`, `RegistryFailed`.
   */
  async request(start: URL, options: RequestOptions): Promise<HttpResponse> {
    let url = start;
    let headers: Readonly<Record<string, string>> = { ...options.headers, "accept-encoding": "identity" };
    for (let redirects = 0; ; redirects++) {
      const response = await this.#once(url, headers, options);
      const location = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || location === null) return response;
      response.abort();
      if (redirects >= maxRedirects)
        throw this.#failed(options.name, url, `redirected more than ${maxRedirects} times`);
      const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
      if (next === undefined || !["http:", "https:"].includes(next.protocol)) {
        throw this.#failed(options.name, url, "redirected to no HTTP address");
      }
      if (next.protocol === "http:" && !this.mayBePlain(next.host)) {
        throw this.#failed(options.name, url, `redirected to plain HTTP at ${next.host}`);
      }
      if (next.origin !== url.origin) {
        headers = Object.fromEntries(Object.entries(headers).filter(([key]) => key !== "authorization"));
      }
      url = next;
    }
  }

  /** The body in pieces. Throws `RegistryStalled`, `RegistryUnreachable` when the connection breaks. */
  async *body(response: HttpResponse): AsyncGenerator<Uint8Array> {
    if (response.stream === null) return;
    const watch = this.#watch(response.url, response.name);
    const reader = response.stream.getReader();
    try {
      for (;;) {
        const next = await watch.run(reader.read(), (read) => read.value?.length ?? 0);
        if (next.done) return;
        yield next.value;
      }
    } catch (error) {
      throw this.#translate(error, response.url, response.name);
    } finally {
      response.abort();
    }
  }

  /** The whole body, at most `maxBytes`; longer ones are `RegistryFailed`. */
  async bytes(response: HttpResponse, maxBytes: number): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of this.body(response)) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) {
        throw this.#failed(response.name, response.url, `answered with more than ${maxBytes} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async #once(url: URL, headers: Readonly<Record<string, string>>, options: RequestOptions): Promise<HttpResponse> {
    const controller = new AbortController();
    const onAbort = () => controller.abort(options.signal.reason);
    options.signal.throwIfAborted();
    options.signal.addEventListener("abort", onAbort, { once: true });
    const abort = () => {
      options.signal.removeEventListener("abort", onAbort);
      controller.abort();
    };
    try {
      const asked = fetch(url, {
        method: options.method ?? "GET",
        headers: { ...headers },
        redirect: "manual",
        signal: controller.signal,
      });
      const response = await this.#watch(url, options.name).run(asked, () => 0);
      const { status, body: stream } = response;
      return { status, headers: response.headers, url, stream, abort, name: options.name };
    } catch (error) {
      abort();
      throw this.#translate(error, url, options.name);
    }
  }

  #watch(url: URL, name: string): StallWatch {
    const { stallTimeoutMs } = this.#options;
    return new StallWatch(stallTimeoutMs, () => {
      return new ImageError(`${url.host} sent nothing, or next to nothing, for ${stallTimeoutMs / 1000} s (${name})`, {
        code: "RegistryStalled",
        stage: "pull",
        object: name,
      });
    });
  }

  #failed(name: string, url: URL, why: string): ImageError {
    return new ImageError(`${url.host} ${why} (${name})`, { code: "RegistryFailed", stage: "pull", object: name });
  }

  #translate(error: unknown, url: URL, name: string): unknown {
    if (error instanceof ImageError || isAbort(error)) return error;
    const code: ImageErrorCode = "RegistryUnreachable";
    const system = systemErrorCode(error);
    return new ImageError(
      `${url.host} cannot be reached${system === undefined ? "" : ` (${system})`} for ${name}: ${describeError(error)}`,
      { code, stage: "pull", object: name, cause: error },
    );
  }
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, "");
  return name === "localhost" || name === "[::1]" || /^127(\.[0-9]{1,3}){3}$/.test(name);
}
