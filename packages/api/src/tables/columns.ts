import type { KubeObject } from "../types/meta.ts";
import type { TableColumn } from "../types/table.ts";
import { sinceText } from "./duration.ts";

export const nameColumn: TableColumn = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name of the object, unique among its kind in the namespace.",
  priority: 0,
};

export const ageColumn = textColumn("Age", "Time since the object was created.");

export function textColumn(name: string, description: string): TableColumn {
  return { name, type: "string", format: "", description, priority: 0 };
}

/** Shown with `-o wide` only. */
export function wideColumn(name: string, description: string): TableColumn {
  return { ...textColumn(name, description), priority: 1 };
}

export function numberColumn(name: string, description: string): TableColumn {
  return { ...textColumn(name, description), type: "integer" };
}

export function ageOf(object: KubeObject, nowMs: number): string {
  return sinceText(object.metadata.creationTimestamp, nowMs);
}
