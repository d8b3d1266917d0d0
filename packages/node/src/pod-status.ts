import {
  type Container,
  type ContainerState,
  type ContainerStatus,
  type Pod,
  type PodCondition,
  type PodPhase,
  type PodStatus,
  pausedCondition,
  pauseFailedReason,
} from "@isopod/api";
import type { ContainerAttempt } from "./instance-record.ts";

/** Where one container is now, as its worker knows it. */
export interface ContainerView {
  readonly container: Container;
  readonly isInit: boolean;
  readonly restartCount: number;
  readonly imageDigest: string;
  /** Why it is not running, when it has no attempt that runs or has ended for good. */
  readonly waiting: { readonly reason: string; readonly message?: string } | undefined;
  readonly current: ContainerAttempt | undefined;
  readonly previous: ContainerAttempt | undefined;
}

export interface PodView {
  readonly pod: Pod;
  readonly containers: readonly ContainerView[];
  readonly podIP: string;
  readonly hostIP: string;
  /** When the node agent first saw the pod. */
  readonly startTimeMs: number;
  /** The VM runs and its network is up. */
  readonly isSandboxReady: boolean;
  /** Set when the pod has ended for a reason of its own (`DeadlineExceeded`, `VMLost`, …). */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
  /** It stands still. */
  readonly isPaused: boolean;
  /** Why it stands still, or does not, against the pod's wish. */
  readonly pauseFailure: string | undefined;
  /** Nothing runs and nothing will again. */
  readonly isOver: boolean;
}

/** RFC 3339 with whole seconds, as Kubernetes writes times. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

const formatMicrosTime = (micros: number): string => formatTime(micros / 1000);

export function containerIdOf(pod: Pod, attempt: ContainerAttempt): string {
  return `isopod://${pod.metadata.uid}-${attempt.id}`;
}

function stateOf(pod: Pod, attempt: ContainerAttempt): ContainerState {
  const { exit } = attempt;
  if (exit === undefined) return { running: { startedAt: formatMicrosTime(attempt.startedMicros) } };
  return {
    terminated: {
      exitCode: exit.exitCode,
      ...(exit.signal === 0 ? {} : { signal: exit.signal }),
      reason: exit.reason,
      ...(exit.message === "" ? {} : { message: exit.message }),
      startedAt: formatMicrosTime(exit.startedMicros),
      finishedAt: formatMicrosTime(exit.finishedMicros),
      containerID: containerIdOf(pod, attempt),
    },
  };
}

function containerStatus(pod: Pod, view: ContainerView, isPaused: boolean): ContainerStatus {
  const { container, current, previous, waiting } = view;
  const isRunning = current !== undefined && current.exit === undefined;
  const state: ContainerState =
    waiting !== undefined
      ? { waiting }
      : current !== undefined
        ? stateOf(pod, current)
        : { waiting: { reason: "PodInitializing" } };
  // While it waits for its next attempt, the one that ended is the last state.
  const last = waiting !== undefined && current?.exit !== undefined ? current : previous;
  const shown = isRunning || current?.exit !== undefined ? current : undefined;
  const isDone = current?.exit?.exitCode === 0 && waiting === undefined;
  const isReady = isRunning && !isPaused;
  return {
    name: container.name,
    state,
    lastState: last === undefined ? {} : stateOf(pod, last),
    ready: view.isInit ? isDone || (container.restartPolicy === "Always" && isReady) : isReady,
    started: isRunning,
    restartCount: view.restartCount,
    image: container.image ?? "",
    imageID: view.imageDigest,
    ...(shown === undefined ? {} : { containerID: containerIdOf(pod, shown) }),
  };
}

function phaseOf(view: PodView): PodPhase {
  const apps = view.containers.filter((one) => !one.isInit);
  if (view.isOver) {
    // Not before: the phase tells the API that the instance's address and room are free.
    if (view.failure !== undefined) return "Failed";
    const isSuccess =
      apps.every((one) => one.current?.exit?.exitCode === 0) &&
      view.containers.every(
        (one) => !one.isInit || one.container.restartPolicy === "Always" || one.current?.exit?.exitCode === 0,
      );
    return isSuccess ? "Succeeded" : "Failed";
  }
  return apps.some(hasStarted) ? "Running" : "Pending";
}

/** An attempt that is noted, but waits to be started for the first time, is none yet. */
function hasStarted({ current, previous, waiting }: ContainerView): boolean {
  if (current === undefined) return false;
  return waiting === undefined || current.exit !== undefined || previous !== undefined;
}

function condition(
  previous: readonly PodCondition[],
  type: string,
  isTrue: boolean,
  now: string,
  why?: { readonly reason: string; readonly message?: string },
): PodCondition {
  const status = isTrue ? "True" : "False";
  const before = previous.find((one) => one.type === type);
  return {
    type,
    status,
    lastProbeTime: null,
    lastTransitionTime: before?.status === status ? (before.lastTransitionTime ?? now) : now,
    ...(why === undefined || isTrue ? {} : why),
    ...(why !== undefined && isTrue && why.reason === "PodCompleted" ? { reason: why.reason } : {}),
  };
}

const ownConditions = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", pausedCondition];

/** None for a pod that nobody ever asked to pause. */
function pausedConditions(view: PodView, before: readonly PodCondition[], now: string): readonly PodCondition[] {
  const isKnown = before.some((one) => one.type === pausedCondition);
  if (!view.isPaused && view.pauseFailure === undefined && !isKnown) return [];
  const plain = condition(before, pausedCondition, view.isPaused, now);
  if (view.pauseFailure === undefined) return [plain];
  return [{ ...plain, reason: pauseFailedReason, message: view.pauseFailure }];
}

/** The status to publish. `known` is the pod's status in the API: what others wrote into it is kept. Pure. */
export function podStatus(view: PodView, known: PodStatus | undefined, nowMs: number): PodStatus {
  const now = formatTime(nowMs);
  const phase = phaseOf(view);
  const statuses = view.containers.map((one) => ({
    isInit: one.isInit,
    status: containerStatus(view.pod, one, view.isPaused),
  }));
  const apps = statuses.filter((one) => !one.isInit).map((one) => one.status);
  const inits = statuses.filter((one) => one.isInit).map((one) => one.status);
  const before = known?.conditions ?? [];
  const unready = apps.filter((one) => !one.ready).map((one) => one.name);
  const isUninitialised = ({ status: one }: (typeof statuses)[number]): boolean =>
    !one.ready && !(view.isPaused && one.started === true);
  const uninitialised = statuses.filter((one) => one.isInit && isUninitialised(one)).map((one) => one.status.name);
  const notReady =
    phase === "Succeeded"
      ? { reason: "PodCompleted" }
      : phase === "Failed"
        ? { reason: "PodFailed" }
        : view.isPaused
          ? { reason: "Paused", message: "the instance is paused" }
          : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const isReady = unready.length === 0 && phase === "Running";
  const isInitialised = phase === "Succeeded" || uninitialised.length === 0;
  return {
    phase,
    conditions: [
      condition(before, "PodReadyToStartContainers", view.isSandboxReady, now),
      condition(
        before,
        "Initialized",
        isInitialised,
        now,
        phase === "Succeeded"
          ? { reason: "PodCompleted" }
          : {
              reason: "ContainersNotInitialized",
              message: `containers with incomplete status: [${uninitialised.join(" ")}]`,
            },
      ),
      condition(before, "ContainersReady", isReady, now, notReady),
      condition(before, "Ready", isReady, now, notReady),
      ...pausedConditions(view, before, now),
      ...before.filter((one) => !ownConditions.includes(one.type)),
    ],
    ...(view.failure === undefined ? {} : view.failure),
    hostIP: view.hostIP,
    hostIPs: [{ ip: view.hostIP }],
    ...(view.podIP === "" ? {} : { podIP: view.podIP, podIPs: [{ ip: view.podIP }] }),
    startTime: formatTime(view.startTimeMs),
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits }),
    containerStatuses: apps,
    ...(known?.qosClass === undefined ? {} : { qosClass: known.qosClass }),
  };
}
