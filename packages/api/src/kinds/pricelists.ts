import { dns1123SubdomainProblems } from "../names.ts";
import { pausedPrices } from "../price-list.ts";
import { ageColumn, ageOf, nameColumn, numberColumn, textColumn } from "../tables/columns.ts";
import { isopodGroup, isopodVersion, type PriceList } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

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
    { ...numberColumn("Paused-vCPU-Second", "The same while an instance is paused."), priority: 1 },
    { ...numberColumn("Paused-GiB-Second", "The same while an instance is paused."), priority: 1 },
  ],
  cells: (list, nowMs) => {
    const paused = pausedPrices(list.spec);
    return [
      list.metadata.name,
      list.spec.currency,
      list.spec.effectiveFrom,
      list.spec.vcpuSecondMicros,
      list.spec.gibSecondMicros,
      ageOf(list, nowMs),
      paused.vcpuSecondMicros,
      paused.gibSecondMicros,
    ];
  },
  nameProblems: dns1123SubdomainProblems,
  validate: (object, old) => rules().validatePriceList(object, old),
});
