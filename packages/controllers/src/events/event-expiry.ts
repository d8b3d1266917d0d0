import { resources } from "@isopod/api";
import { describeError } from "@isopod/base";
import type { Controller, ControllerOptions } from "../controller.ts";
import { ignoreNotFound } from "../ignore-not-found.ts";

/** As kube-apiserver's `--event-ttl`. */
const ttlMs = 3_600_000;
const roundMs = 60_000;

/** Deletes events an hour after they last happened. */
export class EventExpiry implements Controller {
  readonly name = "event-expiry";
  readonly #options: ControllerOptions;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(roundMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#sweep(signal);
      } catch (error) {
        if (!signal.aborted) logger.warn({ reason: describeError(error) }, "old events were not deleted; trying again");
      }
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options;
    const before = clock.nowMs() - ttlMs;
    const { items } = await client.list(resources.events, { signal });
    for (const event of items) {
      const last =
        event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
      if (last === undefined || last === null || !(Date.parse(last) < before)) continue;
      await ignoreNotFound(client.delete(resources.events, event.metadata.namespace, event.metadata.name, { signal }));
    }
  }
}
