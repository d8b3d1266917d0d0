import { backoffDelayMs, systemErrorCode } from "@isopod/base";
import type { RegistryCredentials } from "../contract.ts";
import { type Digest, digestOf } from "../digest.ts";
import { ImageError, type ImageErrorCode, isImageError } from "../image-error.ts";
import { parseChallenge } from "./challenge.ts";
import type { HttpResponse, HttpTransport } from "./http-transport.ts";
import { asArray, asObject, asString, parseJson } from "./json-value.ts";
import { acceptedManifests } from "./manifest.ts";

/** The limit registries themselves keep to. */
const maxManifestBytes = 4 * 1024 * 1024;
const maxTokenBytes = 1024 * 1024;
const maxAttempts = 4;
const maxRetryAfterMs = 20_000;
const backoff = { initialMs: 250, maxMs: 4_000 };

export interface FetchedManifest {
  readonly content: Buffer;
  readonly digest: Digest;
  /** As the registry declared it. */
  readonly mediaType: string;
}

export interface RepositoryOptions {
  readonly transport: HttpTransport;
  /** Host and port to talk to. */
  readonly host: string;
  readonly repository: string;
  readonly credentials: RegistryCredentials | undefined;
  /** For messages: the image. */
  readonly name: string;
}

/**
 * One repository of one registry, as the OCI distribution specification has it. Finds out by itself whether the
 * registry wants nothing, Basic or a Bearer token, and gets a new token when one runs out.
 */
export class RepositoryClient {
  readonly #options: RepositoryOptions;
  #base: Promise<URL> | undefined;
  #authorization: string | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /** By tag or digest; a digest is checked. Throws `NotFound`, `DigestMismatch`, and what a registry does wrong. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<FetchedManifest> {
    const { transport, name } = this.#options;
    const response = await this.get(`manifests/${tagOrDigest}`, { accept: acceptedManifests }, signal);
    const content = await transport.bytes(response, maxManifestBytes);
    const digest = digestOf(content);
    if (tagOrDigest.startsWith("sha256:") && tagOrDigest !== digest) {
      throw new ImageError(`the manifest of ${name} has digest ${digest}, not ${tagOrDigest}`, {
        code: "DigestMismatch",
        stage: "pull",
        object: name,
      });
    }
    return { content, digest, mediaType: response.headers.get("content-type") ?? "" };
  }

  /**
   * A request under the repository that must succeed; tried again when the registry is busy or the network hiccups.
   * `name` is for messages: what is asked for, and of which image.
   */
  async get(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    name = this.#options.name,
  ): Promise<HttpResponse> {
    const { clock } = this.#options.transport;
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt + 1 >= maxAttempts;
      let waitMs = backoffDelayMs(attempt, backoff);
      try {
        const response = await this.#authorised(path, headers, signal, name);
        if (response.status >= 200 && response.status <= 299) return response;
        const retryAfterMs = Number(response.headers.get("retry-after") ?? Number.NaN) * 1000;
        const error = await this.#statusError(response, name);
        if (isLast || (response.status !== 429 && response.status < 500) || response.status === 501) throw error;
        if (Number.isFinite(retryAfterMs)) waitMs = Math.max(waitMs, Math.min(retryAfterMs, maxRetryAfterMs));
      } catch (error) {
        if (isLast || !isImageError(error, "RegistryUnreachable")) throw error;
      }
      await clock.sleep(waitMs, signal);
    }
  }

  async #authorised(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal, name: string) {
    const { transport, repository } = this.#options;
    const base = await this.#findBase(signal);
    const url = new URL(`/v2/${repository}/${path}`, base);
    const send = async () => {
      const authorization = this.#authorization;
      const all = authorization === undefined ? headers : { ...headers, authorization };
      return await transport.request(url, { headers: all, signal, name });
    };
    const response = await send();
    if (response.status !== 401 || response.url.origin !== base.origin) return response;
    response.abort();
    // No authorization yet, or a token that ran out half-way: one answer to the challenge, then the status stands.
    this.#authorization = await this.#answer(response, base, signal);
    return await send();
  }

  /** The first scheme that answers. Plain hosts are asked in the clear first: TLS to them can hang, not just fail. */
  async #findBase(signal: AbortSignal): Promise<URL> {
    const { transport, host, name } = this.#options;
    if (!transport.mayBePlain(host)) return new URL(`https://${host}`);
    this.#base ??= (async () => {
      const plain = new URL(`http://${host}`);
      const response = await transport.request(new URL("/v2/", plain), { headers: {}, signal, name }).catch((error) => {
        if (isImageError(error, "RegistryUnreachable") && systemErrorCode(error) !== "ECONNREFUSED") return undefined;
        throw error;
      });
      response?.abort();
      // 400 is how Go servers answer plain HTTP on a TLS port.
      return response === undefined || response.status === 400 ? new URL(`https://${host}`) : plain;
    })();
    try {
      return await this.#base;
    } catch (error) {
      this.#base = undefined;
      throw error;
    }
  }

  async #answer(response: HttpResponse, base: URL, signal: AbortSignal): Promise<string> {
    const { credentials, name } = this.#options;
    const challenge = parseChallenge(response.headers.get("www-authenticate") ?? "");
    if (challenge?.scheme === "bearer") return await this.#token(challenge.realm, challenge.service, base, signal);
    if (challenge === undefined) {
      throw this.#error("Unauthorized", `${base.host} refuses ${name} and asks for no kind of login known here`);
    }
    if (credentials === undefined) throw this.#error("Unauthorized", `${base.host} wants a login for ${name}`);
    return basic(credentials);
  }

  async #token(realm: string, service: string | undefined, base: URL, signal: AbortSignal): Promise<string> {
    const { transport, repository, credentials, name } = this.#options;
    const url = URL.canParse(realm, base.href) ? new URL(realm, base) : undefined;
    const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && transport.mayBePlain(url.host));
    if (url === undefined || !isSafe) {
      throw this.#error("Unauthorized", `${base.host} sends logins of ${name} to an address that is not secure`);
    }
    if (service !== undefined) url.searchParams.set("service", service);
    url.searchParams.set("scope", `repository:${repository}:pull`);
    if (credentials !== undefined) url.searchParams.set("account", credentials.username);
    const headers = credentials === undefined ? {} : { authorization: basic(credentials) };
    const response = await transport.request(url, { headers, signal, name });
    if (response.status !== 200) {
      response.abort();
      if (response.status === 429) throw this.#error("RateLimited", `${url.host} limits logins now (${name})`);
      if (response.status >= 500) {
        throw this.#error("RegistryFailed", `${url.host} answered ${response.status} to a login for ${name}`);
      }
      const who = credentials === undefined ? "an anonymous login" : `the login of ${credentials.username}`;
      throw this.#error("Unauthorized", `${url.host} refuses ${who} for ${name} (status ${response.status})`);
    }
    const answer = asObject(parseJson((await transport.bytes(response, maxTokenBytes)).toString()));
    const token = asString(answer?.["token"]) ?? asString(answer?.["access_token"]);
    if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) {
      throw this.#error("RegistryFailed", `${url.host} sent no token for ${name}`);
    }
    return `Bearer ${token}`;
  }

  async #statusError(response: HttpResponse, name: string): Promise<ImageError> {
    const { transport, host } = this.#options;
    const text = await transport.bytes(response, 64 * 1024).then(String, () => "");
    const [first] = asArray(asObject(parseJson(text))?.["errors"]) ?? [];
    const said = asString(asObject(first)?.["message"])?.slice(0, 200);
    const message = `${host} answered ${response.status} for ${name}${said === undefined ? "" : `: ${said}`}`;
    switch (response.status) {
      case 401:
      case 403:
        return this.#error("Unauthorized", message);
      case 404:
        return this.#error("NotFound", message);
      case 416:
        return this.#error("Truncated", message);
      case 429:
        return this.#error("RateLimited", message);
      default:
        return this.#error("RegistryFailed", message);
    }
  }

  #error(code: ImageErrorCode, message: string): ImageError {
    return new ImageError(message, { code, stage: "pull", object: this.#options.name });
  }
}

function basic({ username, password }: RegistryCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
