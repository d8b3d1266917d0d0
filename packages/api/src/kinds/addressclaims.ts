import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import { type AddressClaim, isopodGroup, isopodVersion } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const addressclaims = defineResource<AddressClaim>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "AddressClaim",
  plural: "addressclaims",
  categories: ["isopod"],
  namespaced: false,
  builtIn: false,
  selectableFields: { "spec.vpc": (claim) => claim.spec.vpc },
  columns: [
    nameColumn,
    textColumn("VPC", "The network the address is of."),
    textColumn("Address", "The address that is taken."),
    textColumn("Interface", "Who has it."),
    ageColumn,
  ],
  cells: (claim, nowMs) => [
    claim.metadata.name,
    claim.spec.vpc,
    claim.spec.address,
    `${claim.spec.interface.namespace}/${claim.spec.interface.name}`,
    ageOf(claim, nowMs),
  ],
  nameProblems: dns1123SubdomainProblems,
  validate: (object, old) => rules().validateAddressClaim(object, old),
});
