import { dns1123SubdomainProblems } from "../names.ts";
import { eventCells, eventColumns } from "../tables/event.ts";
import type { Event } from "../types/event.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

export const events = defineResource<Event>({
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  shortNames: ["ev"],
  namespaced: true,
  builtIn: true,
  allowCreateOnUpdate: true,
  selectableFields: {
    "involvedObject.kind": (event) => event.involvedObject.kind ?? "",
    "involvedObject.namespace": (event) => event.involvedObject.namespace ?? "",
    "involvedObject.name": (event) => event.involvedObject.name ?? "",
    "involvedObject.uid": (event) => event.involvedObject.uid ?? "",
    "involvedObject.apiVersion": (event) => event.involvedObject.apiVersion ?? "",
    "involvedObject.resourceVersion": (event) => event.involvedObject.resourceVersion ?? "",
    "involvedObject.fieldPath": (event) => event.involvedObject.fieldPath ?? "",
    reason: (event) => event.reason ?? "",
    reportingComponent: (event) => event.reportingComponent ?? "",
    source: (event) => event.source?.component || event.reportingComponent || "",
    type: (event) => event.type ?? "",
  },
  columns: eventColumns,
  cells: eventCells,
  nameProblems: dns1123SubdomainProblems,
  defaults: (object) => rules().defaultEvent(object),
  validate: (object) => rules().validateEvent(object),
});
