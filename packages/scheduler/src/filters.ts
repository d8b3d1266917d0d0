import { matchesNodeSelectorTerm, type Pod, type Taint, type Toleration } from "@isopod/api";
import type { Demand, NodeRoom } from "./cluster-cache.ts";

/** Why a node is out, worded as kube-scheduler words it; empty when it is in. */
export type Filter = (pod: Pod, demand: Demand, room: NodeRoom) => readonly string[];

const unschedulableTaint: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
const fits: readonly string[] = [];

function isReady({ node }: NodeRoom): boolean {
  return node.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== "" && toleration.effect !== taint.effect) return false;
  if (toleration.key === undefined || toleration.key === "") return toleration.operator === "Exists";
  if (toleration.key !== taint.key) return false;
  return toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "");
}

function isTolerated(pod: Pod, taint: Taint): boolean {
  return (pod.spec.tolerations ?? []).some((toleration) => tolerates(toleration, taint));
}

const ready: Filter = (_pod, _demand, room) => (isReady(room) ? fits : ["node(s) were not ready"]);

const schedulable: Filter = (pod, _demand, { node }) =>
  node.spec?.unschedulable === true && !isTolerated(pod, unschedulableTaint) ? ["node(s) were unschedulable"] : fits;

const taints: Filter = (pod, _demand, { node }) => {
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect === "PreferNoSchedule") continue;
    // Cordoning is told by the filter above.
    if (taint.key === unschedulableTaint.key) continue;
    if (isTolerated(pod, taint)) continue;
    return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  }
  return fits;
};

const selectors: Filter = (pod, _demand, { node }) => {
  const labels = node.metadata.labels ?? {};
  const wanted = Object.entries(pod.spec.nodeSelector ?? {});
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const isMatch =
    wanted.every(([key, value]) => labels[key] === value) &&
    (terms === undefined || terms.some((term) => matchesNodeSelectorTerm(term, node)));
  return isMatch ? fits : ["node(s) didn't match Pod's node affinity/selector"];
};

/** Of resources, every one that is short is told. */
const resources: Filter = (_pod, demand, { allocatable, used }) => {
  const isShort = {
    "Too many pods": used.pods + 1 > allocatable.pods,
    "Insufficient cpu": used.cpuMilli + demand.cpuMilli > allocatable.cpuMilli,
    "Insufficient memory": used.memoryBytes + demand.memoryBytes > allocatable.memoryBytes,
  };
  if (!isShort["Too many pods"] && !isShort["Insufficient cpu"] && !isShort["Insufficient memory"]) return fits;
  return Object.entries(isShort).flatMap(([reason, isTrue]) => (isTrue ? [reason] : []));
};

const inOrder: readonly Filter[] = [ready, schedulable, taints, selectors, resources];

/** What the first filter that refuses the node says; empty when none does. */
export function reasonsAgainst(pod: Pod, demand: Demand, room: NodeRoom): readonly string[] {
  for (const filter of inOrder) {
    const reasons = filter(pod, demand, room);
    if (reasons.length > 0) return reasons;
  }
  return fits;
}
