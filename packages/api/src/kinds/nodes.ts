import { dns1123SubdomainProblems } from "../names.ts";
import { nodeCells, nodeColumns } from "../tables/node.ts";
import type { Node } from "../types/node.ts";
import { defineResource } from "./definition.ts";
import { rules } from "./rules.ts";

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
  defaults: (object) => rules().defaultNode(object),
  validate: (object, old) => rules().validateNode(object, old),
});
