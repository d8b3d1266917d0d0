import type { Duplex } from "node:stream";
import { badRequest, resources } from "@isopod/api";
import { parsePath } from "./http/path.ts";
import type { RequestContext } from "./request-context.ts";
import { authorize, definitionOf } from "./route.ts";
import { exec, execSubresources } from "./subresources/exec.ts";

/** Sends an upgrade request to what answers it. Throws an `ApiError` before anything was sent. */
export async function routeUpgrade(context: RequestContext, socket: Duplex, head: Buffer): Promise<void> {
  const target = parsePath(context.url.pathname);
  if (target.type === "resource" && target.rest === "") {
    authorize(context, target);
    const subresource = execSubresources.find((known) => known === target.subresource);
    if (subresource !== undefined && definitionOf(target) === resources.pods) {
      return await exec(context, { namespace: target.namespace, name: target.name }, subresource, socket, head);
    }
  }
  throw badRequest(`this request cannot be upgraded to ${context.request.headers.upgrade ?? "anything"}`);
}
