import { applyDefaults, invalid, type KubeObject, type ResourceDefinition, resources, validate } from "@isopod/api";
import type { AdmissionRequest } from "../contract.ts";
import type { RequestContext } from "../request-context.ts";
import { newNamespace } from "./namespace-lifecycle.ts";
import { sizeNewPod } from "./pod-size.ts";
import { isPod, isNamespace } from "../objects/kinds.ts";

/** Defaults, hooks, validation, and what the server itself adds to a new object. Throws Invalid, or a hook's refusal. */
export async function admitCreate(
  context: RequestContext,
  definition: ResourceDefinition,
  object: KubeObject,
  isDryRun: boolean,
): Promise<KubeObject> {
  const begun = definition === resources.namespaces && isNamespace(object) ? newNamespace(object) : object;
  const admitted = await runHooks(context, {
    operation: "CREATE",
    definition,
    subresource: undefined,
    object: applyDefaults(definition, begun),
    oldObject: undefined,
    isDryRun,
  });
  checkValid(definition, admitted, undefined);
  if (!isPod(admitted)) return admitted;
  return sizeNewPod(admitted, (message) => context.warnings.add(message));
}

export async function admitUpdate(
  context: RequestContext,
  definition: ResourceDefinition,
  object: KubeObject,
  oldObject: KubeObject,
  subresource: string | undefined,
  isDryRun: boolean,
): Promise<KubeObject> {
  const admitted = await runHooks(context, {
    operation: "UPDATE",
    definition,
    subresource,
    object: applyDefaults(definition, object),
    oldObject,
    isDryRun,
  });
  checkValid(definition, admitted, oldObject);
  return admitted;
}

/** Runs the installation's hooks one after the other, each on the outcome of the one before. */
export async function runHooks(
  context: RequestContext,
  request: Omit<AdmissionRequest, "user" | "warn">,
): Promise<KubeObject> {
  let { object } = request;
  const warn = (message: string) => context.warnings.add(message);
  for (const hook of context.server.admission) object = await hook({ ...request, object, user: context.user, warn });
  return object;
}

function checkValid(definition: ResourceDefinition, object: KubeObject, old: KubeObject | undefined): void {
  const causes = validate(definition, object, old);
  if (causes.length > 0) throw invalid(definition, object.metadata.name, causes);
}
