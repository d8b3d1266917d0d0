import { apiVersionOf } from "@isopod/api";
import type { ServedVersion } from "./api-groups.ts";

/** The documents of discovery before aggregation: one for the groups, one for each group version. */
export function apiVersions(serverAddress: string): object {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

export function apiGroupList(served: readonly ServedVersion[]): object {
  const groups = [...new Set(served.map(({ group }) => group))].filter((group) => group !== "");
  return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map((group) => groupOf(served, group)) };
}

export function apiGroup(served: readonly ServedVersion[], group: string): object | undefined {
  if (group === "" || !served.some((version) => version.group === group)) return undefined;
  return { kind: "APIGroup", apiVersion: "v1", ...groupOf(served, group) };
}

export function apiResourceList(served: readonly ServedVersion[], group: string, version: string): object | undefined {
  const found = served.find((candidate) => candidate.group === group && candidate.version === version);
  if (found === undefined) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf(found),
    resources: found.resources,
  };
}

function groupOf(served: readonly ServedVersion[], group: string) {
  const versions = served
    .filter((version) => version.group === group)
    .map((version) => ({ groupVersion: apiVersionOf(version), version: version.version }));
  return { name: group, versions, preferredVersion: versions[0] };
}
