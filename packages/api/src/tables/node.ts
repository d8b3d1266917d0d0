import type { Node, NodeAddress } from "../types/node.ts";
import type { TableCell, TableColumn } from "../types/table.ts";
import { ageColumn, ageOf, nameColumn, textColumn, wideColumn } from "./columns.ts";

export const nodeColumns: readonly TableColumn[] = [
  nameColumn,
  textColumn("Status", "Whether the node is ready, and whether it takes new pods."),
  textColumn("Roles", "Roles from the node's labels."),
  ageColumn,
  textColumn("Version", "Version of the node agent."),
  wideColumn("Internal-IP", "Address other machines of the installation reach the node at."),
  wideColumn("External-IP", "Address of the node in public networks."),
  wideColumn("OS-Image", "Operating system of the node."),
  wideColumn("Kernel-Version", "Kernel of the node."),
  wideColumn("Container-Runtime", "What runs the pods."),
];

const rolePrefix = "node-role.kubernetes.io/";

export function nodeCells(node: Node, nowMs: number): readonly TableCell[] {
  const info = node.status?.nodeInfo;
  return [
    node.metadata.name,
    statusText(node),
    rolesText(node),
    ageOf(node, nowMs),
    info?.kubeletVersion ?? "",
    addressOf(node, "InternalIP"),
    addressOf(node, "ExternalIP"),
    orUnknown(info?.osImage),
    orUnknown(info?.kernelVersion),
    orUnknown(info?.containerRuntimeVersion),
  ];
}

function statusText(node: Node): string {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  const parts = [ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady"];
  if (node.spec?.unschedulable === true) parts.push("SchedulingDisabled");
  return parts.join(",");
}

function rolesText(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return roles.size === 0 ? "<none>" : [...roles].toSorted().join(",");
}

function addressOf(node: Node, type: NodeAddress["type"]): string {
  return node.status?.addresses?.find((address) => address.type === type)?.address ?? "<none>";
}

function orUnknown(text: string | undefined): string {
  return text === undefined || text === "" ? "<unknown>" : text;
}
