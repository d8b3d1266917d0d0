import type { ResourceDefinition } from "../kinds/definition.ts";
import type { KubeObject, ListMeta } from "../types/meta.ts";
import type { PartialObjectMetadata, Table, TableRow } from "../types/table.ts";

export interface TableOptions {
  readonly nowMs: number;
  /** What each row carries beside its cells. Default `Metadata`, as kube-apiserver has it. */
  readonly includeObject?: "None" | "Metadata" | "Object";
  /** Default true. In a watch only the first table has column definitions. */
  readonly includeColumns?: boolean;
  /** Metadata of the list, or the version of the single object. */
  readonly metadata?: ListMeta;
}

/** A `meta.k8s.io/v1` Table with a row per object, in the order given. */
export function printTable(
  definition: ResourceDefinition,
  objects: readonly KubeObject[],
  options: TableOptions,
): Table {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata ?? {},
    columnDefinitions: options.includeColumns === false ? [] : definition.columns,
    rows: objects.map((object) => printRow(definition, object, options)),
  };
}

export function partialObjectMetadata(object: KubeObject): PartialObjectMetadata {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

function printRow(definition: ResourceDefinition, object: KubeObject, options: TableOptions): TableRow {
  const cells = definition.cells(object, options.nowMs);
  switch (options.includeObject ?? "Metadata") {
    case "None":
      return { cells };
    case "Object":
      return { cells, object };
    default:
      return { cells, object: partialObjectMetadata(object) };
  }
}
