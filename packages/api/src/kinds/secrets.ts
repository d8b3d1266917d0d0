import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import type { Secret } from "../types/core.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const secrets = defineResource<Secret>({
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  namespaced: true,
  builtIn: true,
  selectableFields: { type: (secret) => secret.type ?? "" },
  columns: [
    nameColumn,
    textColumn("Type", "What the entries mean to programs."),
    textColumn("Data", "Number of entries."),
    ageColumn,
  ],
  cells: (secret, nowMs) => [
    secret.metadata.name,
    secret.type ?? "",
    Object.keys(secret.data ?? {}).length,
    ageOf(secret, nowMs),
  ],
  nameProblems: dns1123SubdomainProblems,
  defaults: (object) => rules().defaultSecret(object),
  validate: (object, old) => rules().validateSecret(object, old),
});
