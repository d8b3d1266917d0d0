import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { pipeline } from "node:stream/promises";
import { ApiError, serviceUnavailable, type StatusReason, statusReasons } from "@isopod/api";
import { isAbort } from "@isopod/base";
import type { RequestContext } from "../request-context.ts";
import type { KubeletEndpoint } from "./kubelet-endpoint.ts";
import { kubeletRequest } from "./kubelet-request.ts";

/** RFC 9110 7.6.1: of one connection only. The credential is ours, not the kubelet's. */
const ownHeaders = new Set([
  "authorization",
  "connection",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export interface RelayedRequest {
  readonly method: string;
  /** Path and query at the kubelet. */
  readonly path: string;
  /** The client's body goes along. */
  readonly withBody: boolean;
}

/**
 * Sends a request on to a kubelet and its answer back, both as streams: whoever stops reading stops the other side, and
 * whoever goes away ends it. Throws ServiceUnavailable when the kubelet cannot be reached.
 */
export async function relay(
  context: RequestContext,
  endpoint: KubeletEndpoint,
  relayed: RelayedRequest,
): Promise<void> {
  await sendAnswer(context, await ask(context, endpoint, relayed));
}

/** A GET whose failure is told as a Status with the kubelet's words. */
export async function relayText(context: RequestContext, endpoint: KubeletEndpoint, path: string): Promise<void> {
  const answer = await ask(context, endpoint, { method: "GET", path, withBody: false });
  if (answer.statusCode !== 200) throw await kubeletError(answer);
  await sendAnswer(context, answer);
}

async function sendAnswer(context: RequestContext, answer: IncomingMessage): Promise<void> {
  const { response } = context;
  response.writeHead(answer.statusCode ?? 502, forwardable(answer.headers));
  // A log that is followed may say nothing for a long time: the client must know that it is connected.
  response.flushHeaders();
  try {
    await pipeline(answer, response);
  } catch (error) {
    if (!context.signal.aborted && !isAbort(error)) {
      context.server.logger.debug({ path: context.url.pathname }, "a relayed answer broke off");
    }
  }
}

/** The kubelet's answer, its body not read yet. */
async function ask(
  context: RequestContext,
  endpoint: KubeletEndpoint,
  { method, path, withBody }: RelayedRequest,
): Promise<IncomingMessage> {
  const headers = withBody ? forwardable(context.request.headers) : {};
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = kubeletRequest(endpoint, { method, path, headers }, context.signal);
    outgoing.on("response", resolve);
    outgoing.on("error", (cause) => reject(unreachable(endpoint, cause)));
    if (!withBody) return outgoing.end();
    // A kubelet that answers before it has read everything closes early: its answer is what counts.
    pipeline(context.request, outgoing).catch(() => {});
  });
}

/** A failed answer of the kubelet as ours: its text is the message, because it is written for the user. */
export async function kubeletError(answer: IncomingMessage): Promise<ApiError> {
  const limitBytes = 64 * 1024;
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > limitBytes) break;
  }
  const code = answer.statusCode ?? 502;
  const message = text.trim().slice(0, 4096);
  const reason = reasonOf(code);
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: message === "" ? `the kubelet answered ${code}` : message,
    reason,
    code: statusReasons[reason],
  });
}

const reasonsOfKubelet: Readonly<Record<number, StatusReason>> = {
  400: "BadRequest",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  503: "ServiceUnavailable",
  504: "Timeout",
};

function reasonOf(code: number): StatusReason {
  return reasonsOfKubelet[code] ?? "InternalError";
}

export function unreachable(endpoint: KubeletEndpoint, cause: unknown): ApiError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return serviceUnavailable(`the kubelet at ${endpoint.host}:${endpoint.port} cannot be reached: ${why}`, cause);
}

function forwardable(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ownHeaders.has(name) && !named.has(name)));
}
