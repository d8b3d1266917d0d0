import { type ContainerStatus, type Pod, resources } from "@isopod/api";
import type { KubeClient } from "@isopod/client";
import { CliError } from "./cli-error.ts";

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
  let current = pod;
  if (isDone(current)) return current;
  const { namespace = "default", name } = pod.metadata;
  while (!signal.aborted) {
    for await (const event of client.watch(resources.pods, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: current.metadata.resourceVersion ?? "0",
      signal,
    })) {
      if (event.type === "BOOKMARK") continue;
      if (event.type === "DELETED" || event.object.metadata.uid !== pod.metadata.uid) {
        throw new CliError(`the instance ${name} was deleted`, { code: "Refused", object: name });
      }
      current = event.object;
      if (isDone(current)) return current;
    }
    current = await client.get(resources.pods, namespace, name, { signal });
    if (isDone(current)) return current;
  }
  throw signal.reason;
}
