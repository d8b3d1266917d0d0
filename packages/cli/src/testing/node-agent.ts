import {
  type KubeObject,
  type Pod,
  type PodStatus,
  type ResourceDefinition,
  resources,
  type Snapshot,
} from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import { Informer } from "@isopod/client";
import type { TestApi } from "@isopod/client/testing";

type Answer<T> = (object: T) => object | undefined;

/** What a node agent of a test writes into the status of what it sees; nothing for undefined. */
export interface Answers {
  readonly pod?: Answer<Pod>;
  readonly snapshot?: Answer<Snapshot>;
}

/** Answers every change as a node agent would, until it is disposed of. */
export function actAsNode({ client }: TestApi, answers: Answers): AsyncDisposable {
  const stop = new AbortController();
  const writes: Promise<unknown>[] = [];
  const watch = async <T extends KubeObject>(resource: ResourceDefinition<T>, answer: Answer<T>): Promise<void> => {
    const informer = new Informer(resource, { client, clock: systemClock, logger: silentLogger });
    informer.onChange((_key, object) => {
      const status = object === undefined ? undefined : answer(object);
      if (object === undefined || status === undefined) return;
      const { namespace, name } = object.metadata;
      // What was deleted meanwhile needs no answer.
      writes.push(client.patch(resource, namespace, name, { status }, { subresource: "status" }).catch(() => {}));
    });
    await informer.run(stop.signal);
  };
  const running = Promise.all([
    answers.pod === undefined ? undefined : watch(resources.pods, answers.pod),
    answers.snapshot === undefined ? undefined : watch(resources.snapshots, answers.snapshot),
  ]);
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the test ends"));
      await running;
      await Promise.all(writes);
    },
  };
}

export const runningStatus: PodStatus = {
  phase: "Running",
  conditions: [{ type: "Ready", status: "True" }],
  containerStatuses: [
    {
      name: "main",
      image: "busybox:1",
      imageID: "",
      ready: true,
      restartCount: 0,
      state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
    },
  ],
};

/** A pod of one container on node `n1`, with that status. */
export async function addPod({ client }: TestApi, name: string, status: PodStatus = runningStatus): Promise<Pod> {
  await client.create(resources.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name } },
    spec: { nodeName: "n1", containers: [{ name: "main", image: "busybox:1" }] },
  });
  return await client.patch(resources.pods, "default", name, { status }, { subresource: "status" });
}
