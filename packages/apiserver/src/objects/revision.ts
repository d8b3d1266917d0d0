import { badRequest, resourceVersionTooLarge } from "@isopod/api";
import type { ObjectStore } from "./object-store.ts";

/** As long as kube-apiserver waits for a version from the future to arrive. */
const futureWaitMs = 3000;
const pollMs = 50;

/** Reads a resourceVersion: an unsigned decimal number. Throws BadRequest. */
export function parseRevision(text: string): number {
  const revision = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(revision))
    throw badRequest(`Invalid value: ${JSON.stringify(text)}: resourceVersion must be a number`);
  return revision;
}

/** Waits until the store has reached `revision`; throws Timeout (504) when it does not in time. Returns the newest. */
export async function reachRevision(objects: ObjectStore, revision: number, signal: AbortSignal): Promise<number> {
  const deadlineMs = objects.clock.monotonicMs() + futureWaitMs;
  for (;;) {
    const current = await objects.store.currentRevision();
    if (current >= revision) return current;
    if (objects.clock.monotonicMs() >= deadlineMs) throw resourceVersionTooLarge(String(revision), String(current));
    await objects.clock.sleep(pollMs, signal);
  }
}
