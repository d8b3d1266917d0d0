export { type Choice, chooseNode } from "./choose-node.ts";
export { ClusterCache, type Demand, demandOf, type NodeRoom } from "./cluster-cache.ts";
export { leastLoadedScore } from "./score.ts";
export { defaultSchedulerName, Scheduler, type SchedulerOptions } from "./scheduler.ts";
