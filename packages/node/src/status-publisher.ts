import { isForbidden, isInvalid, isNotFound, type Pod, type PodStatus, resources } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";
import type { KubeClient } from "@isopod/client";

export interface StatusPublisherOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pod: () => Pod;
  /** The status as it is now. */
  readonly status: () => PodStatus;
  readonly annotations: () => Readonly<Record<string, string>>;
  /** Aborts when there is nobody to tell any more: the pod is gone, or the node agent lets go of it. */
  readonly signal: AbortSignal;
}

/** Writes a pod's status into the API whenever it changed, one write at a time, the latest winning. */
export class StatusPublisher {
  readonly #options: StatusPublisherOptions;
  #isDirty = false;
  #publishing: Promise<void> | undefined;
  #published: string | undefined;

  constructor(options: StatusPublisherOptions) {
    this.#options = options;
  }

  /** Something changed. */
  publish(): void {
    this.#isDirty = true;
    this.#publishing ??= this.#loop().finally(() => {
      this.#publishing = undefined;
    });
  }

  /** Resolves when the API has the latest status, or will not take it. */
  async flush(): Promise<void> {
    while (this.#publishing !== undefined) await this.#publishing;
  }

  async #loop(): Promise<void> {
    const { clock, logger, signal } = this.#options;
    for (let failures = 0; this.#isDirty && !signal.aborted; ) {
      this.#isDirty = false;
      try {
        await this.#write();
        failures = 0;
      } catch (error) {
        if (signal.aborted || isNotFound(error)) return;
        // Said again it would be refused again, and the end of the pod would wait for it.
        if (isInvalid(error) || isForbidden(error)) {
          logger.error({ reason: describeError(error) }, "the API refused the pod's status");
          return;
        }
        if (failures === 0)
          logger.warn({ reason: describeError(error) }, "the pod's status was not written; trying again");
        this.#isDirty = true;
        await clock.sleep(backoffDelayMs(failures++, { initialMs: 100, maxMs: 5000 }), signal).catch(() => {});
      }
    }
  }

  async #write(): Promise<void> {
    const { client, pod, status, annotations, signal } = this.#options;
    const wanted = status();
    const text = JSON.stringify(wanted);
    if (text === this.#published) return;
    const { namespace, name, uid } = pod().metadata;
    const patch = { metadata: { uid, annotations: annotations() }, status: wanted };
    await client.patch(resources.pods, namespace, name, patch, { subresource: "status", signal });
    this.#published = text;
  }
}
