import {
  isAlreadyExists,
  isForbidden,
  isInvalid,
  isNotFound,
  podUidLabel,
  resources,
  type UsageSegment,
} from "@isopod/api";
import { type Clock, describeError, type Logger, retry } from "@isopod/base";
import type { KubeClient } from "@isopod/client";
import type { SegmentRecord } from "./instance-record.ts";

export interface UsageRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly nodeName: string;
}

/** Whose segment it is; from the record, since the pod may be gone. */
export interface PodIdentity {
  readonly podUID: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * Writes usage segments into the API. The instance's record on disk is written first (by the caller), so a segment that
 * the API does not have yet is written again after a restart, under the same name: never twice, never lost.
 */
export class UsageRecorder {
  readonly #options: UsageRecorderOptions;

  constructor(options: UsageRecorderOptions) {
    this.#options = options;
  }

  /**
   * Brings one segment's API object to the record's state; keeps trying while the API is away. What the API refuses for
   * good is logged and given up: it must not keep the pod from going.
   */
  async write(pod: PodIdentity, segment: SegmentRecord, signal: AbortSignal): Promise<void> {
    const { client, clock, logger } = this.#options;
    const { namespace } = pod;
    const end = { spec: { endMicros: segment.endMicros, endCause: segment.endCause } };
    const put = async (): Promise<void> => {
      // The end first: a namespace that is being emptied takes changes, but no new objects.
      if (segment.endMicros !== undefined) {
        try {
          await client.patch(resources.usagesegments, namespace, segment.name, end, { signal });
          return;
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }
      try {
        await client.create(resources.usagesegments, this.#objectOf(pod, segment), { signal });
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    };
    try {
      const isRetryable = (error: unknown): boolean => !isFinal(error);
      await retry(put, { clock, signal, initialMs: 100, maxMs: 10_000, isRetryable });
    } catch (error) {
      if (!isFinal(error)) throw error;
      const log = { segment: segment.name, namespace, pod: pod.name, reason: describeError(error) };
      logger.error(log, "the API refused a usage segment; this time is not billed");
    }
  }

  #objectOf(pod: PodIdentity, segment: SegmentRecord): UsageSegment {
    return {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "UsageSegment",
      metadata: { name: segment.name, namespace: pod.namespace, labels: { [podUidLabel]: pod.podUID } },
      spec: {
        podName: pod.name,
        podUID: pod.podUID,
        nodeName: this.#options.nodeName,
        cpuMilli: segment.cpuMilli,
        memoryMiB: segment.memoryMiB,
        state: segment.state,
        startMicros: segment.startMicros,
        ...(segment.endMicros === undefined ? {} : { endMicros: segment.endMicros }),
        ...(segment.endCause === undefined ? {} : { endCause: segment.endCause }),
        podLabels: segment.podLabels,
      },
    };
  }
}

/** The namespace is gone or going, or the object is not one the API takes: trying again changes nothing. */
function isFinal(error: unknown): boolean {
  return isNotFound(error) || isForbidden(error) || isInvalid(error);
}
