import type { KubeObject, ListMeta } from "./meta.ts";

export interface TableColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  /** `name` marks the column that identifies the row. */
  readonly format: "" | "name";
  readonly description: string;
  /** 0: always shown; 1: with `-o wide`. */
  readonly priority: 0 | 1;
}

export type TableCell = string | number | boolean | null;

/** Metadata alone, as tables carry it by default. */
export interface PartialObjectMetadata extends KubeObject {
  readonly apiVersion: "meta.k8s.io/v1";
  readonly kind: "PartialObjectMetadata";
}

export interface TableRow {
  readonly cells: readonly TableCell[];
  /** Absent with `includeObject=None`. */
  readonly object?: KubeObject;
}

export interface Table {
  readonly kind: "Table";
  readonly apiVersion: "meta.k8s.io/v1";
  readonly metadata: ListMeta;
  readonly columnDefinitions: readonly TableColumn[];
  readonly rows: readonly TableRow[];
}
