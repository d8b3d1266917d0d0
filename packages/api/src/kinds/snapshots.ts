import { dns1123SubdomainProblems } from "../names.ts";
import { ageColumn, ageOf, nameColumn, textColumn, wideColumn } from "../tables/columns.ts";
import { humanBytes } from "../tables/human-bytes.ts";
import { isopodGroup, isopodVersion, type Snapshot } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const snapshots = defineResource<Snapshot>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "Snapshot",
  plural: "snapshots",
  categories: ["isopod"],
  namespaced: true,
  builtIn: false,
  hasStatus: true,
  selectableFields: {
    "spec.podName": (snapshot) => snapshot.spec.podName,
    "status.phase": (snapshot) => snapshot.status?.phase ?? "",
    "status.nodeName": (snapshot) => snapshot.status?.nodeName ?? "",
    "status.podUID": (snapshot) => snapshot.status?.podUID ?? "",
  },
  columns: [
    nameColumn,
    textColumn("Pod", "The instance it is of."),
    textColumn("Phase", "Pending, Ready or Failed."),
    textColumn("Node", "The node that has its files."),
    textColumn("Size", "What its files take there."),
    ageColumn,
    wideColumn("Pause", "How long the instance stood still for it."),
    wideColumn("Message", "What it waits for, or why it failed."),
  ],
  cells: (snapshot, nowMs) => {
    const { phase = "Pending", nodeName, sizeBytes, pauseMillis, message } = snapshot.status ?? {};
    return [
      snapshot.metadata.name,
      snapshot.spec.podName,
      phase,
      nodeName ?? "<none>",
      sizeBytes === undefined ? "<none>" : humanBytes(sizeBytes),
      ageOf(snapshot, nowMs),
      pauseMillis === undefined ? "<none>" : `${Math.ceil(pauseMillis)}ms`,
      message ?? "<none>",
    ];
  },
  nameProblems: dns1123SubdomainProblems,
  defaults: (object) => rules().defaultSnapshot(object),
  validate: (object, old) => rules().validateSnapshot(object, old),
});
