import { matchesNodeSelectorTerm, type Pod, type Taint, type Toleration } from "@isopod/api";
import type { Demand, NodeRoom } from "./cluster-cache.ts";

/** Why a node is out, worded as kube-scheduler words it; undefined when it is in. */
export type Filter = (pod: Pod, demand: Demand, room: NodeRoom) => string | undefined;

function isReady({ node }: NodeRoom): boolean {
  return node.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== "" && toleration.effect !== taint.effect) return false;
  if (toleration.key === undefined || toleration.key === "") return toleration.operator === "Exists";
  if (toleration.key !== taint.key) return false;
  return toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "");
}

const ready: Filter = (_pod, _demand, room) => (isReady(room) ? undefined : "node(s) were not ready");

const schedulable: Filter = (_pod, _demand, { node }) =>
  node.spec?.unschedulable === true ? "node(s) were unschedulable" : undefined;

const taints: Filter = (pod, _demand, { node }) => {
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect === "PreferNoSchedule") continue;
    // Cordoning is told by the filter above.
    if (taint.key === "node.kubernetes.io/unschedulable") continue;
    if ((pod.spec.tolerations ?? []).some((toleration) => tolerates(toleration, taint))) continue;
    return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  }
  return undefined;
};

const selectors: Filter = (pod, _demand, { node }) => {
  const labels = node.metadata.labels ?? {};
  const wanted = Object.entries(pod.spec.nodeSelector ?? {});
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const isMatch =
    wanted.every(([key, value]) => labels[key] === value) &&
    (terms === undefined || terms.some((term) => matchesNodeSelectorTerm(term, node)));
  return isMatch ? undefined : "node(s) didn't match Pod's node affinity/selector";
};

const resources: Filter = (_pod, demand, { allocatable, used }) => {
  if (used.pods + 1 > allocatable.pods) return "Too many pods";
  if (used.cpuMilli + demand.cpuMilli > allocatable.cpuMilli) return "Insufficient cpu";
  if (used.memoryBytes + demand.memoryBytes > allocatable.memoryBytes) return "Insufficient memory";
  return undefined;
};

/** In this order: the first reason is the one that is told. */
export const filters: readonly Filter[] = [ready, schedulable, taints, selectors, resources];
