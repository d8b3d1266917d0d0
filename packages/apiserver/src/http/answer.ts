import type { ServerResponse } from "node:http";
import { ApiError, apiErrorIn, internal } from "@isopod/api";
import { describeError, type Logger } from "@isopod/base";
import type { Warnings } from "./warnings.ts";

/** Sends a complete JSON body. */
export function sendJson(
  response: ServerResponse,
  code: number,
  body: string | Uint8Array,
  warnings?: Warnings,
  contentType = "application/json",
): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const headers: Record<string, string | readonly string[] | number> = {
    "Content-Type": contentType,
    "Content-Length": bytes.length,
    "Cache-Control": "no-cache, private",
  };
  const values = warnings?.headerValues() ?? [];
  if (values.length > 0) headers["Warning"] = values;
  response.writeHead(code, toOutgoing(headers));
  response.end(bytes);
}

function toOutgoing(headers: Record<string, string | readonly string[] | number>) {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === "object" ? [...value] : value]),
  );
}

/** The answer to a failed request: always a Status. What is not an `ApiError` is our fault, and logged here. */
export function sendError(response: ServerResponse, error: unknown, logger: Logger, warnings?: Warnings): void {
  const { status } = toApiError(error, logger);
  if (response.headersSent) {
    // A stream that broke in the middle can only be cut off.
    response.destroy();
    return;
  }
  const retryAfter = status.details?.retryAfterSeconds;
  if (retryAfter !== undefined) response.setHeader("Retry-After", String(retryAfter));
  if (status.code === 401) response.setHeader("WWW-Authenticate", 'Bearer realm="isopod"');
  // The rest of a body that is too large will not be read.
  if (status.code === 413) response.setHeader("Connection", "close");
  sendJson(response, status.code, JSON.stringify(status), warnings);
}

export function toApiError(error: unknown, logger: Logger): ApiError {
  const known = apiErrorIn(error);
  if (known !== undefined) {
    if (known.code === "InternalError") logger.error({ error: describeError(error) }, "request failed");
    return known;
  }
  logger.error(
    { error: describeError(error), stack: error instanceof Error ? error.stack : undefined },
    "request failed",
  );
  return internal(error instanceof Error ? error.message : "unknown", error);
}
