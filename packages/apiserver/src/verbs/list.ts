import { apiVersionOf, expired, partialObjectMetadata, printTable, type ResourceDefinition } from "@isopod/api";
import { isStoreError, type StoredValue } from "@isopod/store";
import { sendJson } from "../http/answer.ts";
import { negotiateShape } from "../http/negotiate.ts";
import { objectShapes } from "../http/send-object.ts";
import { includeObject } from "../http/table-options.ts";
import { objectPieces } from "../objects/object-json.ts";
import { keyPrefix, objectKey } from "../objects/object-key.ts";
import { apiErrorOf, type ObjectStore } from "../objects/object-store.ts";
import { reachRevision } from "../objects/revision.ts";
import { parseSelection, type Selection } from "../objects/selection.ts";
import type { RequestContext } from "../request-context.ts";
import { type ContinueToken, formatContinue } from "./continue-token.ts";
import { type ListOptions, parseListOptions } from "./list-options.ts";

/** A page of objects and the metadata of the list it belongs to. */
export interface Page {
  readonly revision: number;
  readonly items: readonly StoredValue[];
  readonly next: ContinueToken | undefined;
  /** Undefined when it is not known, as with selectors. */
  readonly remainingCount: number | undefined;
}

/** Versions read at once while looking for matches of a selector. */
const scanChunk = 500;

export async function list(context: RequestContext, definition: ResourceDefinition, namespace: string): Promise<void> {
  const selection = parseSelection(definition, namespace, "", context.query);
  const options = parseListOptions(context.query);
  const shape = negotiateShape(context.request.headers.accept, objectShapes);
  const { objects } = context.server;
  const page = await readPage(objects, definition, selection, options, context.signal);

  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.next === undefined ? {} : { continue: formatContinue(page.next) }),
    ...(page.remainingCount === undefined || page.remainingCount === 0
      ? {}
      : { remainingItemCount: page.remainingCount }),
  };
  const send = (body: string | Buffer) => sendJson(context.response, 200, body, context.warnings);
  const decoded = () => page.items.map((stored) => objects.cache.decode(stored));
  switch (shape) {
    case "object":
      return send(listBody(definition, metadata, page.items));
    case "table": {
      const nowMs = context.server.options.clock.nowMs();
      const table = { nowMs, includeObject: includeObject(context.query), metadata };
      return send(JSON.stringify(printTable(definition, decoded(), table)));
    }
    case "partial":
      return send(
        JSON.stringify({
          kind: "PartialObjectMetadataList",
          apiVersion: "meta.k8s.io/v1",
          metadata,
          items: decoded().map(partialObjectMetadata),
        }),
      );
  }
}

/** The list's JSON out of the stored bytes of its items, none of which is parsed. */
export function listBody(definition: ResourceDefinition, metadata: object, items: readonly StoredValue[]): Buffer {
  const head = JSON.stringify({ kind: definition.listKind, apiVersion: apiVersionOf(definition), metadata });
  const pieces: Uint8Array[] = [Buffer.from(`${head.slice(0, -1)},"items":[`)];
  const comma = Buffer.from(",");
  for (const [index, stored] of items.entries()) {
    if (index > 0) pieces.push(comma);
    pieces.push(...objectPieces(definition, stored.value, stored.modRevision));
  }
  pieces.push(Buffer.from("]}"));
  return Buffer.concat(pieces);
}

/** Throws Expired with a token to go on with when the page's revision is gone. */
export async function readPage(
  objects: ObjectStore,
  definition: ResourceDefinition,
  selection: Selection,
  options: ListOptions,
  signal: AbortSignal,
): Promise<Page> {
  const revision = await revisionToRead(objects, options, signal);
  try {
    return await scan(objects, definition, selection, options, revision);
  } catch (error) {
    if (options.continue !== undefined && isStoreError(error, "Compacted")) {
      throw expired(inconsistentContinue, formatContinue({ revision: undefined, after: options.continue.after }));
    }
    throw apiErrorOf(definition, "", error);
  }
}

const inconsistentContinue =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
  "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
  "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or " +
  "deleted between the time the first chunk was returned and now may show up in the list.";

/** Undefined: whatever is current. */
async function revisionToRead(
  objects: ObjectStore,
  options: ListOptions,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (options.continue !== undefined) return options.continue.revision;
  const { revision } = options;
  if (revision.type === "current") return undefined;
  await reachRevision(objects, revision.revision, signal);
  return revision.type === "exact" ? revision.revision : undefined;
}

async function scan(
  objects: ObjectStore,
  definition: ResourceDefinition,
  selection: Selection,
  options: ListOptions,
  readRevision: number | undefined,
): Promise<Page> {
  const { store } = objects;
  const prefix = keyPrefix(definition, selection.namespace);
  const at = readRevision === undefined ? {} : { revision: readRevision };
  const { matches, name } = selection;
  if (name !== undefined && (!definition.namespaced || selection.namespace !== "")) {
    const revision = readRevision ?? (await store.currentRevision());
    const stored = await store.get(objectKey(definition, { namespace: selection.namespace, name }), revision);
    const items = stored !== undefined && matches?.(objects.cache.decode(stored)) !== false ? [stored] : [];
    return { revision, items, next: undefined, remainingCount: undefined };
  }
  const after = options.continue === undefined ? {} : { after: options.continue.after };
  if (matches === undefined) {
    const limit = options.limit === 0 ? {} : { limit: options.limit };
    const { revision, items, remainingCount } = await store.list(prefix, { ...at, ...after, ...limit });
    const last = items.at(-1);
    const next =
      remainingCount > 0 && last !== undefined
        ? { revision: tokenRevision(options, revision), after: last.key }
        : undefined;
    return { revision, items, next, remainingCount };
  }
  return await scanMatching(objects, prefix, matches, options, readRevision);
}

/** An inconsistent continuation stays one. */
function tokenRevision(options: ListOptions, revision: number): number | undefined {
  return options.continue !== undefined && options.continue.revision === undefined ? undefined : revision;
}

async function scanMatching(
  objects: ObjectStore,
  prefix: string,
  matches: NonNullable<Selection["matches"]>,
  options: ListOptions,
  readRevision: number | undefined,
): Promise<Page> {
  const items: StoredValue[] = [];
  let after = options.continue?.after;
  let revision = readRevision;
  for (;;) {
    const chunk = await objects.store.list(prefix, {
      limit: scanChunk,
      skipCount: true,
      ...(revision === undefined ? {} : { revision }),
      ...(after === undefined ? {} : { after }),
    });
    revision = chunk.revision;
    for (const stored of chunk.items) {
      if (!matches(objects.cache.decode(stored))) continue;
      // One more than the limit proves that there is a next page.
      if (options.limit > 0 && items.length === options.limit) {
        const last = items.at(-1)?.key ?? "";
        return {
          revision,
          items,
          next: { revision: tokenRevision(options, revision), after: last },
          remainingCount: undefined,
        };
      }
      items.push(stored);
    }
    after = chunk.items.at(-1)?.key;
    if (chunk.remainingCount === 0) return { revision, items, next: undefined, remainingCount: undefined };
  }
}
