import { describeSubresource, type ResourceDefinition, resourceDefinitions } from "@isopod/api";
import type { AggregatedApi, ApiResource } from "../contract.ts";
import { reviewResources } from "../reviews/self-subject.ts";

/** A group version and what it serves, subresources as `pods/log`. The core group has the empty name. */
export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ApiResource[];
}

/** Everything this server serves, in the order discovery tells it: core, Kubernetes's groups, ours, aggregated ones. */
export function servedVersions(aggregated: readonly AggregatedApi[]): readonly ServedVersion[] {
  const served = new Map<string, ServedVersion>();
  const add = ({ group, version, resources }: ServedVersion) => {
    const key = `${group}/${version}`;
    const before = served.get(key)?.resources ?? [];
    served.set(key, { group, version, resources: [...before, ...resources] });
  };
  for (const definition of resourceDefinitions) add({ ...definition, resources: resourcesOf(definition) });
  for (const review of reviewResources) add(review);
  for (const api of aggregated) add(api);
  return [...served.values()].toSorted((a, b) => rank(a.group) - rank(b.group) || a.group.localeCompare(b.group));
}

function rank(group: string): number {
  if (group === "") return 0;
  return group.endsWith(".k8s.io") || !group.includes(".") ? 1 : 2;
}

function resourcesOf(definition: ResourceDefinition): readonly ApiResource[] {
  const { plural, singular, namespaced, kind, verbs, shortNames, categories } = definition;
  const main: ApiResource = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
  const subresources = definition.subresources.map((subresource): ApiResource => {
    const described = describeSubresource(definition, subresource);
    const isOwnVersion = described.group === definition.group && described.version === definition.version;
    return {
      name: `${plural}/${subresource}`,
      singularName: "",
      namespaced,
      kind: described.kind,
      verbs: described.verbs,
      ...(isOwnVersion ? {} : { group: described.group, version: described.version }),
    };
  });
  return [main, ...subresources];
}
