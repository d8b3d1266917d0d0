import { apiVersionOf, isNotFound, type KubeObject, type ResourceDefinition } from "@isopod/api";
import { sendJson } from "../http/answer.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import { referenceOf } from "../objects/object-key.ts";
import { parseSelection } from "../objects/selection.ts";
import type { RequestContext } from "../request-context.ts";
import { deleteObject } from "./delete.ts";
import { readDeleteOptions } from "./delete-options.ts";
import { readPage } from "./list.ts";
import { parseListOptions } from "./list-options.ts";

/** Deletes at once; more would only wait for the same commits. */
const concurrency = 16;

/** Deletes what a list with the same selectors would show, and answers with that list. */
export async function deleteCollection(
  context: RequestContext,
  definition: ResourceDefinition,
  namespace: string,
): Promise<void> {
  const { objects } = context.server;
  const { isDryRun } = parseWriteOptions(context.query, "DeleteOptions");
  const deleteOptions = await readDeleteOptions(context);
  const options = isDryRun ? { ...deleteOptions, dryRun: ["All"] } : deleteOptions;
  const selection = parseSelection(definition, namespace, "", context.query);
  const page = await readPage(objects, definition, selection, parseListOptions(context.query), context.signal);

  const deleted: KubeObject[] = [];
  const waiting = page.items.values();
  const work = async () => {
    for (const stored of waiting) {
      context.signal.throwIfAborted();
      try {
        const reference = referenceOf(objects.cache.decode(stored));
        deleted.push((await deleteObject(context, definition, reference, options)).version.object);
      } catch (error) {
        // Somebody else was faster: gone is what was asked for.
        if (!isNotFound(error)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const list = {
    kind: definition.listKind,
    apiVersion: apiVersionOf(definition),
    metadata: { resourceVersion: String(await objects.store.currentRevision()) },
    items: deleted,
  };
  sendJson(context.response, 200, JSON.stringify(list), context.warnings);
}
