import type { ResourceDefinition, Verb } from "./definition.ts";

/** What discovery says of a subresource: the kind of its body, and the verbs it answers. */
export interface SubresourceDescription {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly Verb[];
}

const described: Readonly<Record<string, SubresourceDescription>> = {
  "pods/binding": { group: "", version: "v1", kind: "Binding", verbs: ["create"] },
  "pods/eviction": { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  "pods/exec": { group: "", version: "v1", kind: "PodExecOptions", verbs: ["create", "get"] },
  "pods/log": { group: "", version: "v1", kind: "Pod", verbs: ["get"] },
  "nodes/proxy": {
    group: "",
    version: "v1",
    kind: "NodeProxyOptions",
    verbs: ["create", "delete", "get", "patch", "update"],
  },
  "namespaces/finalize": { group: "", version: "v1", kind: "Namespace", verbs: ["update"] },
};

/** `status` is the resource itself, read and written in part; the others have an entry above. */
export function describeSubresource(definition: ResourceDefinition, subresource: string): SubresourceDescription {
  const entry = definition.group === "" ? described[`${definition.plural}/${subresource}`] : undefined;
  if (entry !== undefined) return entry;
  const { group, version, kind } = definition;
  return { group, version, kind, verbs: ["get", "patch", "update"] };
}
