import { type ContainerStatus, type Pod, resources, summarizePod } from "@isopod/api";
import type { KubeClient } from "@isopod/client";
import { CliError } from "./cli-error.ts";
import { waitForObject } from "./object-wait.ts";

/** Waiting reasons that a user who waits in front of the terminal must hear of, instead of waiting with them. */
const hopeless: Readonly<Record<string, string>> = {
  ErrImagePull: "pull",
  ImagePullBackOff: "pull",
  InvalidImageName: "pull",
  ErrImageNeverPull: "pull",
  CreateContainerConfigError: "config",
  CreateContainerError: "create",
};

export function isOver(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function mainStatus(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.[0];
}

/** What keeps the pod from starting, if waiting will not help; it exits like Docker when it cannot start: 125. */
export function obstacle(pod: Pod): CliError | undefined {
  const unscheduled = pod.status?.conditions?.find((one) => one.type === "PodScheduled" && one.status === "False");
  if (unscheduled !== undefined) {
    return new CliError(`${pod.metadata.name}: ${unscheduled.message ?? unscheduled.reason ?? "no node"}`, {
      code: "Refused",
      stage: "schedule",
      object: pod.metadata.name,
      remedy: "Ask for a smaller size, remove instances, or raise --cpu-overcommit or --max-pods of `isopod up`.",
      exitStatus: 125,
    });
  }
  for (const status of [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]) {
    const waiting = status.state?.waiting;
    const stage = hopeless[waiting?.reason ?? ""];
    if (stage === undefined) continue;
    return new CliError(waiting?.message ?? waiting?.reason ?? "", {
      code: "Refused",
      stage,
      object: status.image,
      exitStatus: 125,
    });
  }
  return undefined;
}

/** The container runs, or has run at least once. */
export function hasStarted(pod: Pod): boolean {
  const status = mainStatus(pod);
  return (
    status?.state?.running !== undefined || status?.state?.terminated !== undefined || (status?.restartCount ?? 0) > 0
  );
}

/**
 * Watches one pod until `isDone` says so, beginning with the given state.
 * Throws {@link CliError} when the pod is deleted meanwhile.
 */
export async function waitForPod(
  client: KubeClient,
  pod: Pod,
  isDone: (pod: Pod) => boolean,
  signal: AbortSignal,
): Promise<Pod> {
  return await waitForObject(client, resources.pods, pod, "instance", isDone, signal);
}

/**
 * Refuses what can only be done with an instance that runs. `action` is for the user: `be paused`.
 * Throws {@link CliError} `Refused` for one that is leaving, over or not there yet.
 */
export function requireRunning(pod: Pod, action: string): void {
  const { name, deletionTimestamp } = pod.metadata;
  const { status } = summarizePod(pod);
  const refuse = (why: string, remedy: string): never => {
    throw new CliError(`the instance ${name} ${why}`, { code: "Refused", object: name, remedy });
  };
  if (deletionTimestamp !== undefined) {
    refuse(`is being removed and cannot ${action}`, "Use another one: `isopod ps` lists them.");
  }
  if (isOver(pod))
    refuse(
      `is over (${status}) and cannot ${action}`,
      `Start it again as a new one; \`isopod rm ${name}\` frees the name.`,
    );
  if (pod.status?.phase !== "Running") {
    refuse(
      `does not run yet (${status}) and cannot ${action}`,
      `Wait for it; \`kubectl describe pod ${name}\` tells what it waits for.`,
    );
  }
}
