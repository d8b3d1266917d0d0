import type { Event } from "../types/event.ts";
import type { TableCell, TableColumn } from "../types/table.ts";
import { nameColumn, textColumn, wideColumn } from "./columns.ts";
import { sinceText } from "./duration.ts";

export const eventColumns: readonly TableColumn[] = [
  textColumn("Last Seen", "Time since it last happened."),
  textColumn("Type", "Normal or Warning."),
  textColumn("Reason", "Why, in one word for programs."),
  textColumn("Object", "What it happened to."),
  wideColumn("Subobject", "The part of the object it happened to."),
  wideColumn("Source", "Who reports it."),
  textColumn("Message", "What happened, for people."),
  wideColumn("First Seen", "Time since it first happened."),
  wideColumn("Count", "How often it happened."),
  { ...nameColumn, priority: 1 },
];

export function eventCells(event: Event, nowMs: number): readonly TableCell[] {
  const firstSeen = sinceText(event.firstTimestamp ?? event.eventTime, nowMs);
  const lastSeen =
    event.series === undefined
      ? isAbsent(event.lastTimestamp)
        ? firstSeen
        : sinceText(event.lastTimestamp, nowMs)
      : sinceText(event.series.lastObservedTime, nowMs);
  return [
    lastSeen,
    event.type ?? "",
    event.reason ?? "",
    objectText(event),
    event.involvedObject.fieldPath ?? "",
    sourceText(event),
    (event.message ?? "").trim(),
    firstSeen,
    // An event that has no count happened once.
    event.series?.count ?? (event.count || 1),
    event.metadata.name,
  ];
}

function objectText(event: Event): string {
  const kind = (event.involvedObject.kind ?? "").toLowerCase();
  const name = event.involvedObject.name ?? "";
  return name === "" ? kind : `${kind}/${name}`;
}

function sourceText(event: Event): string {
  const component = event.source?.component || event.reportingComponent || "";
  const instance = event.source?.host || event.reportingInstance || "";
  return instance === "" ? component : `${component}, ${instance}`;
}

function isAbsent(time: string | null | undefined): boolean {
  return time === null || time === undefined;
}
