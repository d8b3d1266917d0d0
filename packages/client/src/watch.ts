import type { IncomingMessage } from "node:http";
import { ApiError, type KubeObject, type Status } from "@isopod/api";
import { ClientError } from "./client-error.ts";

export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

/** One event is one object: longer lines come from something that is not an API server. */
const maxLineBytes = 16 * 1024 * 1024;

/** Splits a stream into lines, without their ends; a last line without an end counts. */
export async function* readLines(source: AsyncIterable<Uint8Array>, maxBytes = maxLineBytes): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      pieces.push(chunk.subarray(from, end));
      if (sizeBytes + end - from > maxBytes) throw tooLong(maxBytes);
      yield Buffer.concat(pieces).toString("utf8");
      pieces = [];
      sizeBytes = 0;
      from = end + 1;
    }
    if (from === chunk.length) continue;
    pieces.push(chunk.subarray(from));
    sizeBytes += chunk.length - from;
    if (sizeBytes > maxBytes) throw tooLong(maxBytes);
  }
  if (sizeBytes > 0) yield Buffer.concat(pieces).toString("utf8");
}

function tooLong(maxBytes: number): ClientError {
  return new ClientError(`a line of the stream is longer than ${maxBytes} bytes`, { code: "BrokenStream" });
}

/**
 * Decodes a watch stream, up to its end or to where it broke off ({@link ClientError} `BrokenStream`). An ERROR event is thrown as the
 * {@link ApiError} it carries (410 Expired among them).
 */
export async function* readWatch<T extends KubeObject>(body: IncomingMessage): AsyncGenerator<WatchEvent<T>> {
  for await (const line of readLines(body)) {
    if (line === "") continue;
    const event = parseEvent<T>(line);
    if (event.type === "ERROR") throw new ApiError(event.object);
    if (event.type === "BOOKMARK") {
      const { resourceVersion } = event.object.metadata;
      if (resourceVersion !== undefined && resourceVersion !== "") yield { type: "BOOKMARK", resourceVersion };
    } else yield event;
  }
}

type WireEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly object: KubeObject }
  | { readonly type: "ERROR"; readonly object: Status };

const eventTypes = new Set(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]);

/** The object's own shape is the server's promise: it validated it when it was written. */
function isEvent<T extends KubeObject>(value: unknown): value is WireEvent<T> {
  if (typeof value !== "object" || value === null || !("type" in value) || !("object" in value)) return false;
  return (
    typeof value.type === "string" &&
    eventTypes.has(value.type) &&
    typeof value.object === "object" &&
    value.object !== null &&
    "metadata" in value.object
  );
}

function parseEvent<T extends KubeObject>(line: string): WireEvent<T> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new ClientError("the watch stream holds a line that is not JSON", { code: "BrokenStream", cause });
  }
  if (isEvent<T>(value)) return value;
  throw new ClientError("the watch stream holds a line that is no event", { code: "BrokenStream" });
}
