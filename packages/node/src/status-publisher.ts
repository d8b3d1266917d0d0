import { isForbidden, isInvalid, isNotFound, type Pod, type PodStatus, resources } from "@isopod/api";
import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";
import type { KubeClient } from "@isopod/client";

export interface StatusPublisherOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pod: () => Pod;
  /** The status as it is now. */
  readonly status: () => PodStatus;
  readonly annotations: () => Readonly<Record<string, string>>;
  /** Aborts when there is nobody to tell any more: the pod is gone, or the node agent lets go of it. */
  readonly signal: AbortSignal;
}

/**
 * A first status of a pod that is merely being started waits so long for a better one: most starts are over by then,
 * and its write would take the processor they need.
 */
const firstPendingDelayMs = 400;

/** Writes a pod's status into the API whenever it changed, one write at a time, the latest winning. */
export class StatusPublisher {
  readonly #options: StatusPublisherOptions;
  #isDirty = false;
  #publishing: Promise<void> | undefined;
  #published: string | undefined;
  /** Aborts when there is something to tell that does not wait. */
  #hurry = new AbortController();

  constructor(options: StatusPublisherOptions) {
    this.#options = options;
  }

  /** Something changed. */
  publish(): void {
    this.#isDirty = true;
    if (!isMerelyStarting(this.#options.status())) this.#hurry.abort();
    this.#publishing ??= this.#loop().finally(() => {
      this.#publishing = undefined;
    });
  }

  /** Resolves when the API has the latest status, or will not take it. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    while (this.#publishing !== undefined) await this.#publishing;
  }

  async #loop(): Promise<void> {
    const { clock, logger, signal } = this.#options;
    if (this.#published === undefined) {
      await clock.sleep(firstPendingDelayMs, AbortSignal.any([signal, this.#hurry.signal])).catch(() => {});
    }
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

/** Nothing runs, nothing has ended, and nothing is in the way. */
function isMerelyStarting({ phase, containerStatuses = [], initContainerStatuses = [] }: PodStatus): boolean {
  const all = [...initContainerStatuses, ...containerStatuses];
  return (
    phase === "Pending" && all.every(({ state }) => state?.waiting !== undefined && state.waiting.message === undefined)
  );
}
