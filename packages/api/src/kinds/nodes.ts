import { dns1123SubdomainProblems } from "../names.ts";
import { nodeCells, nodeColumns } from "../tables/node.ts";
import type { Node } from "../types/node.ts";
import { defaultNode } from "../defaulting/core.ts";
import { validateNode } from "../validation/core.ts";
import { defineResource } from "./definition.ts";

export const nodes = defineResource<Node>({
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  shortNames: ["no"],
  namespaced: false,
  builtIn: true,
  hasStatus: true,
  subresources: ["status", "proxy"],
  selectableFields: { "spec.unschedulable": (node) => String(node.spec?.unschedulable ?? false) },
  columns: nodeColumns,
  cells: nodeCells,
  nameProblems: dns1123SubdomainProblems,
  defaults: defaultNode,
  validate: validateNode,
});
