import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, numberColumn, textColumn } from "../tables/columns.ts";
import { isopodGroup, isopodVersion, type PriceList } from "../types/isopod.ts";
import { validatePriceList } from "../validation/isopod.ts";
import { defineResource } from "./definition.ts";

export const pricelists = defineResource<PriceList>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "PriceList",
  plural: "pricelists",
  categories: ["isopod"],
  namespaced: false,
  builtIn: false,
  columns: [
    nameColumn,
    textColumn("Currency", "ISO 4217 code."),
    textColumn("Effective", "From when on the prices hold."),
    numberColumn("vCPU-Second", "Millionths of the currency unit."),
    numberColumn("GiB-Second", "Millionths of the currency unit."),
    ageColumn,
  ],
  cells: (list, nowMs) => [
    list.metadata.name,
    list.spec.currency,
    list.spec.effectiveFrom,
    list.spec.vcpuSecondMicros,
    list.spec.gibSecondMicros,
    ageOf(list, nowMs),
  ],
  nameProblems: dns1123SubdomainProblems,
  validate: validatePriceList,
});
