import { badRequest } from "@isopod/api";

/** A request that names a resource. */
export interface ResourceTarget {
  readonly type: "resource";
  readonly group: string;
  readonly version: string;
  /** Empty for cluster-scoped resources and for lists over all namespaces. */
  readonly namespace: string;
  readonly resource: string;
  /** Empty for a collection. */
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, with its leading slash: the path of a proxy request. */
  readonly rest: string;
}

export type RequestTarget = ResourceTarget | { readonly type: "other"; readonly path: string };

/**
 * The grammar of API paths:
 *
 *   /api/v1 | /apis/GROUP/VERSION, then
 *   [/namespaces/NAMESPACE] /RESOURCE [/NAME [/SUBRESOURCE [/REST…]]]
 *
 * Namespaces themselves are resources too: /namespaces/NAME and /namespaces/NAME/(status|finalize).
 * Throws BadRequest for a path that is not UTF-8 in percent encoding.
 */
export function parsePath(path: string): RequestTarget {
  const segments = path.split("/").slice(1).map(decodeSegment);
  const other: RequestTarget = { type: "other", path };
  const isCore = segments[0] === "api";
  if (!isCore && segments[0] !== "apis") return other;
  const group = isCore ? "" : (segments[1] ?? "");
  const version = segments[isCore ? 1 : 2] ?? "";
  const tail = segments.slice(isCore ? 2 : 3);
  if (tail.length === 0 || tail[0] === "" || (!isCore && group === "") || version === "") return other;

  const namesNamespace = tail[0] === "namespaces" && tail.length >= 3 && !isNamespaceSubresource(tail);
  const namespace = namesNamespace ? (tail[1] ?? "") : "";
  const [resource = "", name = "", subresource = ""] = namesNamespace ? tail.slice(2) : tail;
  // A trailing slash is no name; an empty segment elsewhere is no path of ours.
  if (resource === "" || (namesNamespace && namespace === "")) return other;
  const restAt = (isCore ? 3 : 4) + (namesNamespace ? 2 : 0) + 3;
  const rest = subresource === "" ? "" : restOf(path, restAt);
  return { type: "resource", group, version, namespace, resource, name, subresource, rest };
}

const namespaceSubresources = new Set(["status", "finalize"]);

/** `/namespaces/x/status` is a subresource; `/namespaces/x/pods` a resource in it. */
function isNamespaceSubresource(tail: readonly string[]): boolean {
  return tail.length === 3 && namespaceSubresources.has(tail[2] ?? "");
}

/** The path from its n-th segment on, not decoded: it is somebody else's. */
function restOf(path: string, segment: number): string {
  const rest = path.split("/").slice(segment).join("/");
  return rest === "" ? "" : `/${rest}`;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw badRequest(`the path has a segment that cannot be decoded: ${segment}`, cause);
  }
}
