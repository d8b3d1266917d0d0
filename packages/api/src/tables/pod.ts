import { isPaused } from "../pod-resources.ts";
import type { ContainerState, ContainerStateTerminated, ContainerStatus } from "../types/container.ts";
import type { Pod } from "../types/pod.ts";
import type { TableCell, TableColumn } from "../types/table.ts";
import { ageColumn, ageOf, nameColumn, textColumn, wideColumn } from "./columns.ts";
import { sinceText } from "./duration.ts";

export const podColumns: readonly TableColumn[] = [
  nameColumn,
  textColumn("Ready", "Containers that are ready, out of those that stay."),
  textColumn("Status", "What the pod as a whole is doing, or what keeps it from it."),
  textColumn("Restarts", "How often containers were restarted, and how long ago the last time was."),
  ageColumn,
  wideColumn("IP", "Address of the pod in its VPC."),
  wideColumn("Node", "The node that runs the pod."),
  wideColumn("Nominated Node", "The node that is being made free for the pod."),
  wideColumn("Readiness Gates", "Additional conditions that are true, out of those the pod asks for."),
];

export function podCells(pod: Pod, nowMs: number): readonly TableCell[] {
  const { status, ready, total, restarts, lastRestart } = summarizePod(pod);
  const isRecent = restarts > 0 && lastRestart !== undefined;
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    status,
    isRecent ? `${restarts} (${sinceText(lastRestart, nowMs)} ago)` : String(restarts),
    ageOf(pod, nowMs),
    orNone(pod.status?.podIPs?.[0]?.ip),
    orNone(pod.spec.nodeName),
    orNone(pod.status?.nominatedNodeName),
    readinessGates(pod),
  ];
}

export interface PodSummary {
  /** The word of kubectl's STATUS column: `Running`, `Init:0/1`, `CrashLoopBackOff`, `Completed`, `Terminating`, … */
  readonly status: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: number;
  /** When the container that was restarted last had ended. */
  readonly lastRestart: string | undefined;
}

/**
 * Follows kube-apiserver's printer (1.35) case by case, so that scripts which parse `kubectl get pods` keep working.
 * `Paused` is ours: no other cluster has such pods.
 */
export function summarizePod(pod: Pod): PodSummary {
  const init = summarizeInitContainers(pod);
  const isInitialized = pod.status?.conditions?.some(({ type, status }) => type === "Initialized" && status === "True");
  const shownInit = init.status === undefined || isInitialized === true;
  const app = shownInit ? summarizeAppContainers(pod, init.status ?? phaseText(pod)) : undefined;

  const total = pod.spec.containers.length + (pod.spec.initContainers ?? []).filter(isSidecar).length;
  return {
    status: deletionText(pod) ?? pauseText(pod) ?? app?.status ?? init.status ?? phaseText(pod),
    ready: init.ready + (app?.ready ?? 0),
    total,
    restarts: app === undefined ? init.restarts : init.sidecarRestarts + app.restarts,
    lastRestart: app === undefined ? init.lastRestart : later(init.lastSidecarRestart, app.lastRestart),
  };
}

function phaseText(pod: Pod): string {
  const isGated = pod.status?.conditions?.some(
    ({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated",
  );
  if (isGated === true) return "SchedulingGated";
  return nonEmpty(pod.status?.reason) ?? pod.status?.phase ?? "";
}

function deletionText(pod: Pod): string | undefined {
  if (pod.metadata.deletionTimestamp === undefined) return undefined;
  if (pod.status?.reason === "NodeLost") return "Unknown";
  const phase = pod.status?.phase;
  return phase === "Succeeded" || phase === "Failed" ? undefined : "Terminating";
}

function pauseText(pod: Pod): string | undefined {
  return isPaused(pod) && pod.status?.phase === "Running" ? "Paused" : undefined;
}

interface InitSummary {
  /** `Init:…` while an init container is not done. */
  readonly status: string | undefined;
  readonly ready: number;
  readonly restarts: number;
  readonly sidecarRestarts: number;
  readonly lastRestart: string | undefined;
  readonly lastSidecarRestart: string | undefined;
}

function summarizeInitContainers(pod: Pod): InitSummary {
  const containers = pod.spec.initContainers ?? [];
  const sidecars = new Set(containers.filter(isSidecar).map((container) => container.name));
  let [ready, restarts, sidecarRestarts] = [0, 0, 0];
  let lastRestart: string | undefined;
  let lastSidecarRestart: string | undefined;
  for (const [index, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const finishedAt = container.lastState?.terminated?.finishedAt;
    restarts += container.restartCount;
    lastRestart = later(lastRestart, finishedAt);
    if (sidecars.has(container.name)) {
      sidecarRestarts += container.restartCount;
      lastSidecarRestart = later(lastSidecarRestart, finishedAt);
    }
    if (container.state?.terminated?.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started === true) {
      if (container.ready) ready += 1;
      continue;
    }
    const status = `Init:${initText(container.state) ?? `${index}/${containers.length}`}`;
    return { status, ready, restarts, sidecarRestarts, lastRestart, lastSidecarRestart };
  }
  return { status: undefined, ready, restarts, sidecarRestarts, lastRestart, lastSidecarRestart };
}

function initText(state: ContainerState | undefined): string | undefined {
  if (state?.terminated !== undefined) return endText(state.terminated);
  const reason = nonEmpty(state?.waiting?.reason);
  return reason === "PodInitializing" ? undefined : reason;
}

function summarizeAppContainers(pod: Pod, fallback: string): Omit<PodSummary, "total"> {
  let status = fallback;
  let [ready, restarts] = [0, 0];
  let lastRestart: string | undefined;
  let failure: string | undefined;
  // The first container has the last word.
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    restarts += container.restartCount;
    lastRestart = later(lastRestart, container.lastState?.terminated?.finishedAt);
    const waiting = nonEmpty(container.state?.waiting?.reason);
    if (waiting !== undefined) status = waiting;
    else if (container.state?.terminated !== undefined) {
      status = endText(container.state.terminated);
      if (container.state.terminated.exitCode !== 0) failure = status;
    } else if (isUp(container)) ready += 1;
  }
  if (status === "Completed") status = textWhenSomeEnded(pod, ready > 0, failure);
  return { status, ready, restarts, lastRestart };
}

function textWhenSomeEnded(pod: Pod, isAnyRunning: boolean, failure: string | undefined): string {
  const isReady = pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  if (isAnyRunning && isReady === true) return "Running";
  if (failure !== undefined) return failure;
  return isAnyRunning ? "NotReady" : "Completed";
}

function endText(terminated: ContainerStateTerminated): string {
  const { reason, signal, exitCode } = terminated;
  return nonEmpty(reason) ?? (signal !== undefined && signal !== 0 ? `Signal:${signal}` : `ExitCode:${exitCode}`);
}

function isUp(container: ContainerStatus): boolean {
  return container.ready && container.state?.running !== undefined;
}

function isSidecar(container: { readonly restartPolicy?: string }): boolean {
  return container.restartPolicy === "Always";
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const open = gates.filter((gate) => {
    return pod.status?.conditions?.find(({ type }) => type === gate.conditionType)?.status === "True";
  });
  return `${open.length}/${gates.length}`;
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Date.parse(a) < Date.parse(b) ? b : a;
}

function orNone(text: string | undefined): string {
  return nonEmpty(text) ?? "<none>";
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
