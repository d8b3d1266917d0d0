import {
  apiVersionOf,
  type KubeObject,
  partialObjectMetadata,
  printTable,
  type ResourceDefinition,
  type Status,
} from "@isopod/api";
import type { StoredValue } from "@isopod/store";
import type { AnswerShape } from "../http/negotiate.ts";
import type { ObjectCache } from "../objects/object-cache.ts";
import { objectPieces, withRevision } from "../objects/object-json.ts";
import type { FilteredEvent, WatchEventType } from "./event-filter.ts";

/** Makes the lines of one watch stream, in the shape its client asked for. */
export interface EventLines {
  /** `revision` is the event's; a deleted object is shown under it. */
  event(event: FilteredEvent, revision: number): Uint8Array;
  bookmark(revision: number, isInitialEventsEnd: boolean): Uint8Array;
}

const initialEventsEnd = { "k8s.io/initial-events-end": "true" };
const newline = Buffer.from("}\n");
const openings: Readonly<Record<WatchEventType, Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};

/** Lines already made, per version and kind of event: a thousand watchers of one change send the same bytes. */
const sharedLines = new WeakMap<StoredValue, Map<string, Buffer>>();

export function eventLine(
  definition: ResourceDefinition,
  { type, stored }: FilteredEvent,
  revision: number,
): Uint8Array {
  let lines = sharedLines.get(stored);
  if (lines === undefined) sharedLines.set(stored, (lines = new Map()));
  const key = `${type} ${revision}`;
  let line = lines.get(key);
  if (line === undefined) {
    line = Buffer.concat([openings[type], ...objectPieces(definition, stored.value, revision), newline]);
    lines.set(key, line);
  }
  return line;
}

export function errorLine(status: Status): Uint8Array {
  return jsonLine("ERROR", status);
}

function jsonLine(type: string, object: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify({ type, object })}\n`);
}

export interface LineOptions {
  readonly definition: ResourceDefinition;
  readonly shape: AnswerShape;
  readonly cache: ObjectCache;
  readonly includeObject: "None" | "Metadata" | "Object";
  readonly nowMs: () => number;
}

export function eventLines(options: LineOptions): EventLines {
  const { definition, cache } = options;
  const decode = (stored: StoredValue, revision: number): KubeObject => {
    const object = cache.decode(stored);
    return revision === stored.modRevision ? object : withRevision(object, revision);
  };
  const bookmarkMetadata = (revision: number, isEnd: boolean) => ({
    resourceVersion: String(revision),
    ...(isEnd ? { annotations: initialEventsEnd } : {}),
  });
  switch (options.shape) {
    case "object":
      return {
        event: (event, revision) => eventLine(definition, event, revision),
        bookmark: (revision, isEnd) =>
          jsonLine("BOOKMARK", {
            kind: definition.kind,
            apiVersion: apiVersionOf(definition),
            metadata: bookmarkMetadata(revision, isEnd),
          }),
      };
    case "partial":
      return {
        event: ({ type, stored }, revision) => jsonLine(type, partialObjectMetadata(decode(stored, revision))),
        bookmark: (revision, isEnd) =>
          jsonLine("BOOKMARK", {
            kind: "PartialObjectMetadata",
            apiVersion: "meta.k8s.io/v1",
            metadata: bookmarkMetadata(revision, isEnd),
          }),
      };
    case "table":
      return tableLines(options, decode, bookmarkMetadata);
  }
}

function tableLines(
  { definition, includeObject, nowMs }: LineOptions,
  decode: (stored: StoredValue, revision: number) => KubeObject,
  bookmarkMetadata: (revision: number, isEnd: boolean) => object,
): EventLines {
  // Clients take the columns from the first table of a stream and expect none after it.
  let includeColumns = true;
  const table = (objects: readonly KubeObject[], metadata: object) => {
    const made = printTable(definition, objects, { nowMs: nowMs(), includeObject, includeColumns, metadata });
    includeColumns = false;
    return made;
  };
  return {
    event: ({ type, stored }, revision) =>
      jsonLine(type, table([decode(stored, revision)], { resourceVersion: String(revision) })),
    bookmark: (revision, isEnd) => {
      const metadata = bookmarkMetadata(revision, isEnd);
      // A bookmark's version is read from the row's object when objects are included.
      const row = { apiVersion: apiVersionOf(definition), kind: definition.kind, metadata: { name: "", ...metadata } };
      const bookmark = table([], metadata);
      const rows = includeObject === "None" ? [] : [{ cells: [], object: row }];
      return jsonLine("BOOKMARK", { ...bookmark, rows });
    },
  };
}
