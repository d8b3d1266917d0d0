import { addressclaims } from "./addressclaims.ts";
import { configmaps } from "./configmaps.ts";
import { apiVersionOf, type ResourceDefinition } from "./definition.ts";
import { events } from "./events.ts";
import { leases } from "./leases.ts";
import { namespaces } from "./namespaces.ts";
import { networkinterfaces } from "./networkinterfaces.ts";
import { nodes } from "./nodes.ts";
import { pods } from "./pods.ts";
import { pricelists } from "./pricelists.ts";
import { secrets } from "./secrets.ts";
import { serviceaccounts } from "./serviceaccounts.ts";
import { snapshots } from "./snapshots.ts";
import { usagesegments } from "./usagesegments.ts";
import { vpcs } from "./vpcs.ts";

/** Every kind that is served, by name. A kind more is one file and one line. */
export const resources = {
  addressclaims,
  configmaps,
  events,
  leases,
  namespaces,
  networkinterfaces,
  nodes,
  pods,
  pricelists,
  secrets,
  serviceaccounts,
  snapshots,
  usagesegments,
  vpcs,
} as const;

export const resourceDefinitions: readonly ResourceDefinition[] = Object.values(resources);

const byPlural = new Map(resourceDefinitions.map((d) => [`${apiVersionOf(d)}/${d.plural}`, d]));
const byKind = new Map(resourceDefinitions.map((d) => [`${apiVersionOf(d)}/${d.kind}`, d]));

export function findResource(group: string, version: string, plural: string): ResourceDefinition | undefined {
  return byPlural.get(`${apiVersionOf({ group, version })}/${plural}`);
}

export function findKind(apiVersion: string, kind: string): ResourceDefinition | undefined {
  return byKind.get(`${apiVersion}/${kind}`);
}
