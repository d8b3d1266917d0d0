import type { Container, Pod } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, isAbort } from "@isopod/base";
import type { EventRecorder, KubeClient } from "@isopod/client";
import { type Image, ImageError, type ImageStore } from "@isopod/image";
import { pullCredentials } from "./pod-inputs.ts";

export interface ImagePullsOptions {
  readonly images: ImageStore;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly events: EventRecorder;
}

type Waiting = { readonly reason: string; readonly message?: string } | undefined;

/** As kubelet: the first retry after 10 s, at most 5 min apart. */
const pullBackoff = { initialMs: 10_000, maxMs: 300_000 } as const;

function isPresentFirst(container: Container): boolean {
  return container.imagePullPolicy === "IfNotPresent" || container.imagePullPolicy === "Never";
}

/**
 * Makes a container's image present, as its pull policy says, trying again with back-off until it is or the signal
 * aborts. `onWaiting` is told what to show meanwhile (`ErrImagePull`, `ImagePullBackOff`, …).
 */
export async function ensureImage(
  pod: Pod,
  container: Container,
  options: ImagePullsOptions,
  onWaiting: (waiting: Waiting) => void,
  signal: AbortSignal,
): Promise<Image> {
  const { images, client, clock, events } = options;
  const reference = container.image ?? "";
  const isInit = pod.spec.initContainers?.includes(container) === true;
  const fieldPath = `spec.${isInit ? "initContainers" : "containers"}{${container.name}}`;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      const present = isPresentFirst(container) ? await images.get(reference) : undefined;
      if (present !== undefined) {
        events.normal(pod, "Pulled", `Container image "${reference}" already present on machine`, fieldPath);
        onWaiting(undefined);
        return present;
      }
      if (container.imagePullPolicy === "Never") {
        throw new ImageError(`Container image "${reference}" is not present with pull policy of Never`, {
          code: "NotFound",
          stage: "pull",
          object: reference,
          remedy: "Load it with `isopod image load`, or change imagePullPolicy.",
        });
      }
      events.normal(pod, "Pulling", `Pulling image "${reference}"`, fieldPath);
      const startedMs = clock.monotonicMs();
      const credentials = await pullCredentials(client, pod, reference, signal);
      const image = await images.pull(reference, { signal, ...(credentials === undefined ? {} : { credentials }) });
      const seconds = ((clock.monotonicMs() - startedMs) / 1000).toFixed(3);
      events.normal(
        pod,
        "Pulled",
        `Successfully pulled image "${reference}" in ${seconds}s. Image size: ${image.sizeBytes} bytes.`,
        fieldPath,
      );
      onWaiting(undefined);
      return image;
    } catch (error) {
      if (signal.aborted || isAbort(error)) throw error;
      const remedy = error instanceof ImageError && error.remedy !== undefined ? ` ${error.remedy}` : "";
      const message = `${describeError(error)}${remedy}`;
      const isNever = container.imagePullPolicy === "Never";
      const isInvalid = error instanceof ImageError && error.code === "InvalidReference";
      onWaiting({
        reason: isNever ? "ErrImageNeverPull" : isInvalid ? "InvalidImageName" : "ErrImagePull",
        message,
      });
      events.warning(pod, "Failed", `Failed to pull image "${reference}": ${message}`, fieldPath);
      // Long enough for a watcher to see the error itself before the back-off hides it.
      await clock.sleep(1000, signal);
      if (!isNever && !isInvalid) {
        onWaiting({ reason: "ImagePullBackOff", message: `Back-off pulling image "${reference}": ${message}` });
        events.normal(pod, "BackOff", `Back-off pulling image "${reference}"`, fieldPath);
      }
      await clock.sleep(backoffDelayMs(attempt, pullBackoff), signal);
    }
  }
}
