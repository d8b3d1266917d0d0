import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerState, Pod, PodPhase, PodStatus } from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import type { KubeClient } from "@isopod/client";
import { StatusPublisher } from "./status-publisher.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop", uid: "uid-1" },
  spec: { containers: [{ name: "main", image: "x" }] },
};

function statusOf(phase: PodPhase, state: ContainerState): PodStatus {
  const container = { name: "main", state, ready: false, restartCount: 0, image: "x", imageID: "" };
  return { phase, containerStatuses: [container] };
}

const starting = statusOf("Pending", { waiting: { reason: "ContainerCreating" } });
const running = statusOf("Running", { running: { startedAt: "2026-01-01T00:00:00Z" } });

/** A publisher whose sleeps last until they are aborted, and what it wrote. */
function publisherOf(first: PodStatus) {
  const written: (PodPhase | undefined)[] = [];
  let status = first;
  const patch = async (...[, , , body]: Parameters<KubeClient["patch"]>): Promise<never> => {
    const { phase } = (body as { readonly status: PodStatus }).status;
    written.push(phase);
    return undefined as never;
  };
  const publisher = new StatusPublisher({
    client: { patch },
    clock: {
      ...systemClock,
      sleep: async (_durationMs, signal) =>
        await new Promise((_resolve, reject) => {
          if (signal?.aborted === true) reject(new Error("aborted"));
          signal?.addEventListener("abort", () => reject(new Error("aborted")));
        }),
    },
    logger: silentLogger,
    pod: () => pod,
    status: () => status,
    annotations: () => ({}),
    signal: new AbortController().signal,
  });
  return {
    publisher,
    written,
    change: (next: PodStatus) => {
      status = next;
      publisher.publish();
    },
  };
}

test("the first status of a start that goes well is that of a running pod", async () => {
  const { publisher, written, change } = publisherOf(starting);
  publisher.publish();
  change(starting);
  change(running);
  await publisher.flush();
  assert.deepEqual(written, ["Running"]);
});

test("what keeps a pod from starting is told at once", async () => {
  const { publisher, written, change } = publisherOf(starting);
  publisher.publish();
  change(statusOf("Pending", { waiting: { reason: "ErrImagePull", message: "no such image" } }));
  for (let turn = 0; turn < 1000 && written.length === 0; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(written, ["Pending"]);
});

test("whoever waits for the status to be told does not wait for a better one", async () => {
  const { publisher, written } = publisherOf(starting);
  publisher.publish();
  await publisher.flush();
  assert.deepEqual(written, ["Pending"]);
});
