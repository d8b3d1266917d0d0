import type { Demand, NodeRoom } from "./cluster-cache.ts";

/** Least loaded: the mean of the free shares of CPU and memory once the pod is there; 0 to 1, more is better. */
export function leastLoadedScore(demand: Demand, { allocatable, used }: NodeRoom): number {
  const free = (total: number, taken: number): number => (total <= 0 ? 0 : Math.max(0, (total - taken) / total));
  return (
    (free(allocatable.cpuMilli, used.cpuMilli + demand.cpuMilli) +
      free(allocatable.memoryBytes, used.memoryBytes + demand.memoryBytes)) /
    2
  );
}
