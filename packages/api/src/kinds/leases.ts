import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import type { Lease } from "../types/core.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const leases = defineResource<Lease>({
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  namespaced: true,
  builtIn: true,
  // Holders compete by version: a blind overwrite would steal the lease.
  unconditionalUpdate: false,
  allowCreateOnUpdate: true,
  columns: [nameColumn, textColumn("Holder", "Who holds the lease."), ageColumn],
  cells: (lease, nowMs) => [lease.metadata.name, lease.spec?.holderIdentity ?? "", ageOf(lease, nowMs)],
  nameProblems: dns1123SubdomainProblems,
  validate: (object) => rules().validateLease(object),
});
