import { isNotFound, type Pod, resources, startedFromAnnotation, startStagesAnnotation } from "@isopod/api";
import { type KubeClient, pathOf } from "@isopod/client";

export interface IsopodStart {
  readonly name: string;
  readonly image: string;
  readonly cpu: number;
  readonly memoryMiB: number;
  readonly command: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface StartedInstance {
  /** From the request to the first byte of output, as a client sees it. */
  readonly ms: number;
  readonly stages: Readonly<Record<string, number>>;
  /** `cold`, `template` or `snapshot`. */
  readonly from: string;
}

/** Creates a pod with one container that never restarts. */
export async function createInstance(client: KubeClient, options: IsopodStart): Promise<Pod> {
  const { name, image, command, annotations, cpu, memoryMiB, signal } = options;
  return await client.create(
    resources.pods,
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", ...(annotations === undefined ? {} : { annotations }) },
      spec: {
        restartPolicy: "Never",
        containers: [
          {
            name: "main",
            image,
            imagePullPolicy: "IfNotPresent",
            command,
            resources: { limits: { cpu: String(cpu), memory: `${memoryMiB}Mi` } },
          },
        ],
      },
    },
    { signal },
  );
}

/** Waits until the container has begun, or is over. Throws when the pod fails or cannot be placed. */
export async function untilStarted(client: KubeClient, created: Pod, signal: AbortSignal): Promise<Pod> {
  const { name, resourceVersion = "0" } = created.metadata;
  for await (const event of client.watch(resources.pods, {
    namespace: "default",
    fieldSelector: `metadata.name=${name}`,
    resourceVersion,
    signal,
  })) {
    if (event.type === "BOOKMARK") continue;
    const { status } = event.object;
    const state = status?.containerStatuses?.[0]?.state;
    if (state?.running !== undefined || state?.terminated !== undefined) return event.object;
    if (status?.phase === "Failed") throw new Error(`${name} failed: ${status.message ?? status.reason ?? ""}`);
    const unplaced = status?.conditions?.find((one) => one.type === "PodScheduled" && one.status === "False");
    if (unplaced !== undefined) throw new Error(`${name} was not placed: ${unplaced.message ?? unplaced.reason ?? ""}`);
  }
  throw new Error(`${name} had not started when the server ended the watch`);
}

/** One start with its stages; the container must write something and end. */
export async function startOnce(client: KubeClient, options: IsopodStart): Promise<StartedInstance> {
  const { name, signal } = options;
  const nowMicros = (): number => (performance.timeOrigin + performance.now()) * 1000;
  const sent = nowMicros();
  const created = await createInstance(client, options);
  const accepted = nowMicros();
  await untilStarted(client, created, signal);
  const answer = await client.send("GET", pathOf(resources.pods, "default", name, "log"), {
    query: { follow: true },
    accept: "*/*",
    timeoutMs: 0,
    signal,
  });
  let first: number | undefined;
  for await (const _chunk of answer.body) first ??= nowMicros();
  if (first === undefined) throw new Error(`${name} wrote nothing`);
  const { annotations = {} } = (await client.get(resources.pods, "default", name, { signal })).metadata;
  const at = JSON.parse(annotations[startStagesAnnotation] ?? "{}") as Record<string, number | undefined>;
  const { seen = accepted, image: pulled = seen, network = seen, disk = seen, booted = seen, started = booted } = at;
  const ready = Math.max(pulled, network, disk);
  return {
    ms: (first - sent) / 1000,
    from: annotations[startedFromAnnotation] ?? "cold",
    stages: {
      API: (accepted - sent) / 1000,
      schedule: (seen - accepted) / 1000,
      image: (pulled - seen) / 1000,
      network: (network - seen) / 1000,
      disk: (disk - seen) / 1000,
      boot: (booted - ready) / 1000,
      container: (started - booted) / 1000,
      "first output": (first - started) / 1000,
    },
  };
}

/** Deletes a pod with one second of grace and waits until it is gone. */
export async function removeInstance(client: KubeClient, name: string): Promise<void> {
  try {
    await client.delete(resources.pods, "default", name, { body: { gracePeriodSeconds: 1 } });
    for (;;) {
      const { resourceVersion = "0" } = (await client.get(resources.pods, "default", name)).metadata;
      const fieldSelector = `metadata.name=${name}`;
      for await (const event of client.watch(resources.pods, {
        namespace: "default",
        fieldSelector,
        resourceVersion,
      })) {
        if (event.type === "DELETED") return;
      }
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
