import assert from "node:assert/strict";
import { once } from "node:events";
import { type Container, type ContainerStatus, isNotFound, type Pod, type PodSpec, resources } from "@isopod/api";
import { pathOf, readText } from "@isopod/client";
import { eventually } from "./eventually.ts";
import type { Installation } from "./installation.ts";

/** What a test says of a pod; the rest is as small as it can be. */
export interface PodWish {
  readonly name: string;
  readonly spec?: Partial<PodSpec>;
  readonly container?: Partial<Container>;
  readonly metadata?: Partial<Pod["metadata"]>;
}

/** A pod of one busybox container that runs a shell script, once, in the smallest size. */
export function shellPod(installation: Installation, script: string, wish: PodWish): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", ...wish.metadata, name: wish.name },
    spec: {
      restartPolicy: "Never",
      containers: [shellContainer(installation, script, wish.container)],
      ...wish.spec,
    },
  };
}

export function shellContainer(installation: Installation, script: string, fields: Partial<Container> = {}): Container {
  return {
    name: "main",
    image: installation.image,
    command: ["sh", "-c", script],
    resources: { limits: { cpu: "100m", memory: "128Mi" } },
    ...fields,
  };
}

export async function createPod(installation: Installation, pod: Pod): Promise<Pod> {
  return await installation.client.create(resources.pods, pod);
}

/** Waits until the pod is as `isDone` says; `what` tells what was awaited when it never is. */
export async function podUntil(
  installation: Installation,
  name: string,
  what: string,
  isDone: (pod: Pod) => boolean,
  namespace = "default",
): Promise<Pod> {
  let seen: Pod | undefined;
  return await eventually(
    `pod ${name} ${what}`,
    async () => {
      seen = await installation.client.get(resources.pods, namespace, name);
      return isDone(seen) ? seen : undefined;
    },
    () => seen?.status,
  );
}

export const isOver = (pod: Pod): boolean => ["Succeeded", "Failed"].includes(pod.status?.phase ?? "");
export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;

/** A pod that no node agent has seen yet has no status: then it is one that says nothing. */
export function statusOf(pod: Pod, container = "main"): ContainerStatus {
  const all = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const none = { name: container, ready: false, restartCount: 0, image: "", imageID: "" };
  return all.find((one) => one.name === container) ?? none;
}

/** Creates the pod, waits for its end, and returns it. */
export async function runPod(installation: Installation, pod: Pod): Promise<Pod> {
  await createPod(installation, pod);
  return await podUntil(installation, pod.metadata.name, "is over", isOver, pod.metadata.namespace);
}

export async function readLog(
  installation: Installation,
  name: string,
  query: Readonly<Record<string, string | number | boolean>> = {},
): Promise<string> {
  const path = pathOf(resources.pods, "default", name, "log");
  const answer = await installation.client.send("GET", path, { query, accept: "*/*", timeoutMs: 60_000 });
  return await readText(answer.body, 64 * 1024 * 1024);
}

/** Deletes the pod and waits until it is gone. */
export async function deletePod(installation: Installation, name: string, graceSeconds = 1): Promise<void> {
  const { client } = installation;
  await client.delete(resources.pods, "default", name, { body: { gracePeriodSeconds: graceSeconds } });
  await podGone(installation, name);
}

export async function podGone(installation: Installation, name: string): Promise<void> {
  let seen: Pod | undefined;
  await eventually(
    `pod ${name} is gone`,
    async () => {
      try {
        seen = await installation.client.get(resources.pods, "default", name);
        return false;
      } catch (error) {
        if (isNotFound(error)) return true;
        throw error;
      }
    },
    () => seen,
  );
}

/** Messages of the events of a pod with this reason. */
export async function eventsOf(
  installation: Installation,
  podName: string,
  reason: string,
): Promise<readonly string[]> {
  const { items } = await installation.client.list(resources.events, { namespace: "default" });
  return items
    .filter((event) => event.involvedObject.name === podName && event.reason === reason)
    .map((event) => event.message ?? "");
}

/** The same, once there is one: events are written later than what they tell of. */
export async function awaitEvents(
  installation: Installation,
  podName: string,
  reason: string,
): Promise<readonly string[]> {
  return await eventually(`pod ${podName} has an event ${reason}`, async () => {
    const found = await eventsOf(installation, podName, reason);
    return found.length > 0 ? found : undefined;
  });
}

/** Makes a file in a container whose script waits for it: so a test decides how far the script is. */
export async function touchIn(installation: Installation, name: string, path: string): Promise<void> {
  const { exitCode, stderr } = await installation.isopod(["exec", name, "--", "touch", path]);
  // A container that ends as soon as it sees the file kills what runs in it, this too.
  assert.ok(exitCode === 0 || exitCode === 137, `${exitCode}: ${stderr}`);
}

/** `isopod logs -f` that has printed something already; `whole` is all it has printed when it ends. */
export async function followLog(
  installation: Installation,
  name: string,
): Promise<{ readonly whole: () => Promise<string> }> {
  const child = installation.spawnIsopod(["logs", "-f", name]);
  const closed = once(child, "close");
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await eventually(`isopod logs -f ${name} prints something`, () => text !== "");
  return {
    whole: async () => {
      await closed;
      return text;
    },
  };
}

/** Waits until the container's output is exactly this. */
export async function logUntil(installation: Installation, name: string, wanted: string): Promise<void> {
  let seen = "";
  await eventually(
    `the output of ${name} is ${JSON.stringify(wanted)}`,
    async () => {
      seen = await readLog(installation, name).catch((error: unknown) => String(error));
      return seen === wanted;
    },
    () => seen,
  );
}
