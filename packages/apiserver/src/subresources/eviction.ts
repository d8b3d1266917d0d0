import { type DeleteOptions, type KubeObject, resources } from "@isopod/api";
import { sendJson } from "../http/answer.ts";
import { parseWriteOptions } from "../http/write-options.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";
import { readObject } from "../verbs/body-object.ts";
import { deleteObject } from "../verbs/delete.ts";

/** `POST pods/NAME/eviction`: a delete that disruption budgets may refuse, once there are any. */
export async function evict(context: RequestContext, reference: ObjectReference): Promise<void> {
  const { isDryRun, fieldValidation } = parseWriteOptions(context.query, "CreateOptions");
  const body = await readObject(context, { apiVersion: "policy/v1", kind: "Eviction" }, fieldValidation);
  const eviction: KubeObject & { readonly deleteOptions?: DeleteOptions } = body;
  const options = { ...eviction.deleteOptions, ...(isDryRun ? { dryRun: ["All"] } : {}) };
  await deleteObject(context, resources.pods, reference, options);
  sendJson(
    context.response,
    201,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }),
    context.warnings,
  );
}
