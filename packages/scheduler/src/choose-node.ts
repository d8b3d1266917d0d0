import type { Pod } from "@isopod/api";
import { demandOf, type NodeRoom } from "./cluster-cache.ts";
import { reasonsAgainst } from "./filters.ts";
import { leastLoadedScore } from "./score.ts";

export type Choice =
  | { readonly nodeName: string }
  /** `message` as kube-scheduler words it: `0/3 nodes are available: 1 Insufficient cpu, 2 …`. */
  | { readonly nodeName: undefined; readonly message: string };

/** Filters the nodes, scores the rest, and takes the best; the name decides between equals. Pure. */
export function chooseNode(pod: Pod, rooms: Iterable<NodeRoom>): Choice {
  const demand = demandOf(pod);
  const reasons = new Map<string, number>();
  let total = 0;
  let best: { readonly nodeName: string; readonly score: number } | undefined;
  for (const room of rooms) {
    total += 1;
    const against = reasonsAgainst(pod, demand, room);
    if (against.length > 0) {
      for (const reason of against) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      continue;
    }
    const nodeName = room.node.metadata.name ?? "";
    const score = leastLoadedScore(demand, room);
    if (best === undefined || score > best.score || (score === best.score && nodeName < best.nodeName)) {
      best = { nodeName, score };
    }
  }
  if (best !== undefined) return { nodeName: best.nodeName };
  const told = [...reasons].map(([reason, count]) => `${count} ${reason}`).toSorted();
  const message =
    total === 0
      ? "no nodes available to schedule pods: no node has registered"
      : `0/${total} nodes are available: ${told.join(", ")}.`;
  return { nodeName: undefined, message };
}
