import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn, wideColumn } from "../tables/columns.ts";
import { isopodGroup, isopodVersion, type NetworkInterface } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const networkinterfaces = defineResource<NetworkInterface>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "NetworkInterface",
  plural: "networkinterfaces",
  shortNames: ["eni"],
  categories: ["isopod"],
  namespaced: true,
  builtIn: false,
  hasStatus: true,
  selectableFields: {
    "spec.vpc": (eni) => eni.spec.vpc,
    "spec.podName": (eni) => eni.spec.podName,
    "spec.podUID": (eni) => eni.spec.podUID,
    "status.nodeName": (eni) => eni.status?.nodeName ?? "",
  },
  columns: [
    nameColumn,
    textColumn("VPC", "The network it is in."),
    textColumn("Address", "Its IPv4 address there."),
    textColumn("Pod", "The pod it is plugged into."),
    textColumn("Phase", "Attached once the tap exists on the node."),
    ageColumn,
    wideColumn("MAC", "Its hardware address."),
    wideColumn("Node", "The node that has the tap."),
  ],
  cells: (eni, nowMs) => [
    eni.metadata.name,
    eni.spec.vpc,
    eni.spec.address,
    eni.spec.podName,
    eni.status?.phase ?? "Pending",
    ageOf(eni, nowMs),
    eni.spec.macAddress,
    eni.status?.nodeName ?? "<none>",
  ],
  nameProblems: dns1123SubdomainProblems,
  validate: (object, old) => rules().validateNetworkInterface(object, old),
});
