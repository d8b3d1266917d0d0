import {
  badRequest,
  describeSubresource,
  findResource,
  forbidden,
  methodNotAllowed,
  pathNotFound,
  type ResourceDefinition,
  resources,
  type Verb,
} from "@isopod/api";
import { findAggregated, handleAggregated } from "./aggregated.ts";
import { isAllowed } from "./auth/authorize.ts";
import type { Discovery } from "./discovery/discovery.ts";
import { parsePath, type ResourceTarget } from "./http/path.ts";
import { parseBoolean } from "./http/write-options.ts";
import type { RequestContext } from "./request-context.ts";
import { findReview, review } from "./reviews/self-subject.ts";
import { bind } from "./subresources/binding.ts";
import { evict } from "./subresources/eviction.ts";
import { log } from "./subresources/log.ts";
import { nodeProxy } from "./subresources/node-proxy.ts";
import { create } from "./verbs/create.ts";
import { remove } from "./verbs/delete.ts";
import { deleteCollection } from "./verbs/delete-collection.ts";
import { get } from "./verbs/get.ts";
import { list } from "./verbs/list.ts";
import { patch } from "./verbs/patch.ts";
import { update } from "./verbs/update.ts";
import { watch } from "./verbs/watch.ts";

/** Sends an authenticated request to what answers it. Throws an `ApiError` for what nothing does. */
export async function route(context: RequestContext, discovery: Discovery): Promise<void> {
  const target = parsePath(context.url.pathname);
  authorize(context, target.type === "resource" ? target : undefined);
  const api = findAggregated(context.server.options.aggregated ?? [], context.url.pathname);
  if (api !== undefined) return await handleAggregated(context, api);
  if (target.type === "other") return await discovery.answer(context);
  const found = findReview(target);
  if (found !== undefined && target.name === "") return await review(context, found);
  const definition = definitionOf(target);
  if (target.subresource !== "") return await routeSubresource(context, definition, target);
  return await routeVerb(context, definition, target);
}

/** Throws NotFound for a resource that is not served, or not at that place. */
export function definitionOf({ group, version, resource, namespace, name }: ResourceTarget): ResourceDefinition {
  const definition = findResource(group, version, resource);
  if (definition === undefined) throw pathNotFound();
  if (namespace !== "" && !definition.namespaced) throw pathNotFound();
  if (namespace === "" && definition.namespaced && name !== "") throw pathNotFound();
  return definition;
}

export function authorize(context: RequestContext, target: ResourceTarget | undefined): void {
  const { user, url } = context;
  const method = context.request.method ?? "GET";
  const verb = target === undefined ? method.toLowerCase() : verbOf(context, target);
  const access = target === undefined ? { user, verb, path: url.pathname } : { ...target, user, verb };
  if (isAllowed(access)) return;
  const why = `User ${JSON.stringify(user.name)} cannot ${verb} this resource`;
  throw forbidden({ group: target?.group ?? "", plural: target?.resource ?? url.pathname }, target?.name ?? "", why);
}

/** The Kubernetes verb of a request; the method's name for one that has none. */
function verbOf({ request, query }: RequestContext, { name }: ResourceTarget): Verb | string {
  switch (request.method) {
    case "GET":
    case "HEAD":
      if (parseBoolean(query, "watch") === true) return "watch";
      return name === "" ? "list" : "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    default:
      return (request.method ?? "").toLowerCase();
  }
}

async function routeVerb(
  context: RequestContext,
  definition: ResourceDefinition,
  target: ResourceTarget,
): Promise<void> {
  const { namespace, name } = target;
  const verb = verbOf(context, target);
  const isServed = definition.verbs.some((served) => served === verb);
  const isPlaced = name === "" ? verb !== "update" && verb !== "patch" : verb !== "create";
  // A new object needs a namespace to be in.
  const isComplete = verb !== "create" || !definition.namespaced || namespace !== "";
  if (!isServed || !isPlaced || !isComplete) throw methodNotAllowed(definition, verb);
  const reference = { namespace, name };
  switch (verb) {
    case "get":
      return await get(context, definition, reference);
    case "list":
      return await list(context, definition, namespace);
    case "watch":
      return await watch(context, definition, namespace, name);
    case "create":
      return await create(context, definition, namespace);
    case "update":
      return await update(context, definition, reference, "main");
    case "patch":
      return await patch(context, definition, reference, "main");
    case "delete":
      return await remove(context, definition, reference);
    case "deletecollection":
      return await deleteCollection(context, definition, namespace);
  }
}

async function routeSubresource(
  context: RequestContext,
  definition: ResourceDefinition,
  target: ResourceTarget,
): Promise<void> {
  const { namespace, name, subresource, rest } = target;
  if (!definition.subresources.includes(subresource)) throw pathNotFound();
  if (definition === resources.nodes && subresource === "proxy") return await nodeProxy(context, name, rest);
  if (rest !== "") throw pathNotFound();
  const verb = verbOf(context, target);
  if (!describeSubresource(definition, subresource).verbs.some((served) => served === verb)) {
    throw methodNotAllowed({ ...definition, plural: `${definition.plural}/${subresource}` }, verb);
  }
  const reference = { namespace, name };
  if (subresource === "status" || subresource === "finalize") {
    if (verb === "get") return await get(context, definition, reference);
    if (verb === "patch") return await patch(context, definition, reference, subresource);
    return await update(context, definition, reference, subresource);
  }
  switch (`${definition.plural}/${subresource}`) {
    case "pods/binding":
      return await bind(context, reference);
    case "pods/eviction":
      return await evict(context, reference);
    case "pods/log":
      return await log(context, reference);
    case "pods/exec":
    case "pods/attach":
      throw badRequest("Upgrade request required");
    default:
      throw pathNotFound();
  }
}
