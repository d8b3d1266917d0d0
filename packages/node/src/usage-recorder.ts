import { isAlreadyExists, isForbidden, isNotFound, type Pod, resources, type UsageSegment } from "@isopod/api";
import { type Clock, type Logger, retry } from "@isopod/base";
import type { KubeClient } from "@isopod/client";
import type { SegmentRecord } from "./instance-record.ts";

export interface UsageRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly nodeName: string;
}

/** Label by which the meter and `isopod bill` find the segments of one pod. */
export const podUidLabel = "isopod.dev/pod-uid";

/**
 * Writes usage segments into the API. The instance's record on disk is written first (by the caller), so a segment that
 * the API does not have yet is written again after a restart, under the same name: never twice, never lost.
 */
export class UsageRecorder {
  readonly #options: UsageRecorderOptions;

  constructor(options: UsageRecorderOptions) {
    this.#options = options;
  }

  /** Brings one segment's API object to the record's state; keeps trying while the API is away. */
  async write(
    pod: Pod,
    size: { readonly cpuMilli: number; readonly memoryMiB: number },
    segment: SegmentRecord,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, nodeName } = this.#options;
    const namespace = pod.metadata.namespace ?? "default";
    const object: UsageSegment = {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "UsageSegment",
      metadata: { name: segment.name, namespace, labels: { [podUidLabel]: pod.metadata.uid ?? "" } },
      spec: {
        podName: pod.metadata.name,
        podUID: pod.metadata.uid ?? "",
        nodeName,
        cpuMilli: size.cpuMilli,
        memoryMiB: size.memoryMiB,
        state: "Running",
        startMicros: segment.startMicros,
        ...(segment.endMicros === undefined ? {} : { endMicros: segment.endMicros }),
        ...(segment.endCause === undefined ? {} : { endCause: segment.endCause }),
        podLabels: pod.metadata.labels ?? {},
      },
    };
    await retry(
      async () => {
        // An end goes to the object that is there: a namespace that is being deleted takes no new ones.
        if (segment.endMicros !== undefined && (await this.#patchEnd(namespace, segment, signal))) return;
        try {
          await client.create(resources.usagesegments, object, { signal });
        } catch (error) {
          // A namespace that is gone takes its bill nowhere else: the meter has what was written before.
          if (isNotFound(error) || isForbidden(error)) return;
          if (!isAlreadyExists(error)) throw error;
        }
      },
      { clock, signal, initialMs: 100, maxMs: 10_000 },
    );
  }

  /** False when the object is not there yet. */
  async #patchEnd(namespace: string, segment: SegmentRecord, signal: AbortSignal): Promise<boolean> {
    const end = { spec: { endMicros: segment.endMicros, endCause: segment.endCause } };
    try {
      await this.#options.client.patch(resources.usagesegments, namespace, segment.name, end, { signal });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }
}
