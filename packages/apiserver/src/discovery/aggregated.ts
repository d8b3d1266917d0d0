import type { ApiResource } from "../contract.ts";
import type { ServedVersion } from "./api-groups.ts";

export const aggregatedContentType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** `apidiscovery.k8s.io/v2 APIGroupDiscoveryList`: all of discovery in one answer. */
export function aggregatedDiscovery(served: readonly ServedVersion[]): object {
  const groups = [...new Set(served.map(({ group }) => group))];
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: "apidiscovery.k8s.io/v2",
    metadata: {},
    items: groups.map((group) => ({
      metadata: { ...(group === "" ? {} : { name: group }), creationTimestamp: null },
      versions: served.filter((version) => version.group === group).map(versionDiscovery),
    })),
  };
}

function versionDiscovery(served: ServedVersion): object {
  const mains = served.resources.filter(({ name }) => !name.includes("/"));
  return {
    version: served.version,
    freshness: "Current",
    resources: mains.map((main) => ({
      resource: main.name,
      responseKind: responseKind(served, main),
      scope: main.namespaced ? "Namespaced" : "Cluster",
      singularResource: main.singularName,
      verbs: main.verbs,
      ...(main.shortNames === undefined ? {} : { shortNames: main.shortNames }),
      ...(main.categories === undefined ? {} : { categories: main.categories }),
      ...subresourcesOf(served, main),
    })),
  };
}

function subresourcesOf(served: ServedVersion, main: ApiResource): object {
  const prefix = `${main.name}/`;
  const subresources = served.resources
    .filter(({ name }) => name.startsWith(prefix))
    .map((resource) => ({
      subresource: resource.name.slice(prefix.length),
      responseKind: responseKind(served, resource),
      verbs: resource.verbs,
    }));
  return subresources.length === 0 ? {} : { subresources };
}

function responseKind(served: ServedVersion, { group, version, kind }: ApiResource): object {
  return { group: group ?? served.group, version: version ?? served.version, kind };
}
