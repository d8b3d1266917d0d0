import { dns1123SubdomainProblems } from "../names.ts";
import { describeSize } from "../sizing.ts";
import { ageColumn, ageOf, nameColumn, textColumn, wideColumn } from "../tables/columns.ts";
import { humanDuration } from "../tables/duration.ts";
import { isopodGroup, isopodVersion, type UsageSegment } from "../types/isopod.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const usagesegments = defineResource<UsageSegment>({
  group: isopodGroup,
  version: isopodVersion,
  kind: "UsageSegment",
  plural: "usagesegments",
  categories: ["isopod"],
  namespaced: true,
  builtIn: false,
  hasStatus: true,
  selectableFields: {
    "spec.podName": (segment) => segment.spec.podName,
    "spec.podUID": (segment) => segment.spec.podUID,
    "spec.nodeName": (segment) => segment.spec.nodeName,
    "status.recorded": (segment) => String(segment.status?.recorded ?? false),
  },
  columns: [
    nameColumn,
    textColumn("Pod", "The instance that was used."),
    textColumn("Size", "What it held."),
    textColumn("State", "Running or Paused."),
    textColumn("Duration", "How long, up to now while it goes on."),
    textColumn("Recorded", "Whether it is in the ledger."),
    ageColumn,
    wideColumn("Node", "Where it ran."),
    wideColumn("End", "Why it ended."),
  ],
  cells: (segment, nowMs) => [
    segment.metadata.name,
    segment.spec.podName,
    describeSize(segment.spec),
    segment.spec.state,
    humanDuration(((segment.spec.endMicros ?? nowMs * 1000) - segment.spec.startMicros) / 1000),
    String(segment.status?.recorded ?? false),
    ageOf(segment, nowMs),
    segment.spec.nodeName,
    segment.spec.endCause ?? "<none>",
  ],
  nameProblems: dns1123SubdomainProblems,
  validate: (object, old) => rules().validateUsageSegment(object, old),
});
