import { dns1123LabelProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import type { Namespace } from "../types/core.ts";
import { allVerbs, defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const namespaces = defineResource<Namespace>({
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  shortNames: ["ns"],
  namespaced: false,
  builtIn: true,
  hasStatus: true,
  subresources: ["status", "finalize"],
  // Kubernetes refuses to delete them all at once.
  verbs: allVerbs.filter((verb) => verb !== "deletecollection"),
  selectableFields: { "status.phase": (namespace) => namespace.status?.phase ?? "" },
  columns: [nameColumn, textColumn("Status", "Active, or Terminating while it is being emptied."), ageColumn],
  cells: (namespace, nowMs) => [namespace.metadata.name, namespace.status?.phase ?? "", ageOf(namespace, nowMs)],
  nameProblems: dns1123LabelProblems,
  defaults: (object) => rules().defaultNamespace(object),
});
