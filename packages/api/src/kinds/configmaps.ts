import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import type { ConfigMap } from "../types/core.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const configmaps = defineResource<ConfigMap>({
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  shortNames: ["cm"],
  namespaced: true,
  builtIn: true,
  columns: [nameColumn, textColumn("Data", "Number of entries."), ageColumn],
  cells: (map, nowMs) => [
    map.metadata.name,
    Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length,
    ageOf(map, nowMs),
  ],
  nameProblems: dns1123SubdomainProblems,
  validate: (object, old) => rules().validateConfigMap(object, old),
});
