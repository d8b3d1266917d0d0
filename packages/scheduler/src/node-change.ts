import { isDeepStrictEqual } from "node:util";
import type { Node } from "@isopod/api";

/** What the filters look at; heartbeats change none of it. */
function offer(node: Node): unknown {
  return [
    node.metadata.labels ?? {},
    node.spec?.unschedulable === true,
    node.spec?.taints ?? [],
    node.status?.allocatable ?? {},
    node.status?.conditions?.find((one) => one.type === "Ready")?.status,
  ];
}

/** Whether pods that fitted nowhere may fit now. */
export function hasNewRoom(node: Node, previous: Node | undefined): boolean {
  return previous === undefined || !isDeepStrictEqual(offer(node), offer(previous));
}
