import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn } from "../tables/columns.ts";
import type { ServiceAccount } from "../types/core.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const serviceaccounts = defineResource<ServiceAccount>({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  shortNames: ["sa"],
  namespaced: true,
  builtIn: true,
  columns: [nameColumn, ageColumn],
  cells: (account, nowMs) => [account.metadata.name, ageOf(account, nowMs)],
  nameProblems: dns1123SubdomainProblems,
  validate: (object) => rules().validateServiceAccount(object),
});
