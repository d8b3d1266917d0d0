import type { ClientRequest, OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import type { KubeletEndpoint } from "./kubelet-endpoint.ts";

/** A node that is gone answers nothing at all; without a bound the client would wait for TCP to give up, two minutes. */
const connectTimeoutMs = 10_000;

export interface KubeletRequestOptions {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
}

/** A request to a kubelet, not sent yet. It is destroyed when the signal aborts or no connection comes about. */
export function kubeletRequest(
  endpoint: KubeletEndpoint,
  { method, path, headers }: KubeletRequestOptions,
  signal: AbortSignal,
): ClientRequest {
  const outgoing = httpsRequest({ ...endpoint, method, path, headers });
  const timer = setTimeout(
    () => outgoing.destroy(new Error(`no connection within ${connectTimeoutMs / 1000} s`)),
    connectTimeoutMs,
  );
  outgoing.once("socket", (socket) => socket.once("secureConnect", () => clearTimeout(timer)));
  outgoing.once("close", () => clearTimeout(timer));
  destroyOnAbort(outgoing, signal);
  return outgoing;
}

/**
 * In place of the `signal` option, and without an error: once the answer has ended, the request's socket may have passed
 * to nobody, and an error on it would end the process.
 */
export function destroyOnAbort(outgoing: ClientRequest, signal: AbortSignal): void {
  const onAbort = () => void outgoing.destroy();
  if (signal.aborted) return onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  outgoing.once("close", () => signal.removeEventListener("abort", onAbort));
}
