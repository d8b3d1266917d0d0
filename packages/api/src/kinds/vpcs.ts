import { dns1123LabelProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn } from "../tables/columns.ts";
import { isopodGroup, isopodVersion, type VPC } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const vpcs = defineResource<VPC>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "VPC",
  plural: "vpcs",
  shortNames: ["vpc"],
  categories: ["isopod"],
  namespaced: false,
  builtIn: false,
  columns: [
    nameColumn,
    textColumn("CIDR", "IPv4 network of the VPC."),
    textColumn("NAT", "Whether there is a way out."),
    ageColumn,
  ],
  cells: (vpc, nowMs) => [vpc.metadata.name, vpc.spec.cidr, String(vpc.spec.nat ?? false), ageOf(vpc, nowMs)],
  // The name is the first label of the names of the VPC's address claims.
  nameProblems: dns1123LabelProblems,
  defaults: (object) => rules().defaultVpc(object),
  validate: (object, old) => rules().validateVpc(object, old),
});
