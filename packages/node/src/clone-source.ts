import { isNotFound, type Pod, podTemplateOf, resources, type Snapshot, snapshotAnnotation } from "@isopod/api";
import type { Template } from "@isopod/vmm";
import { NodeError } from "./node-error.ts";
import type { PodContext } from "./pod-context.ts";
import type { SnapshotRecord } from "./snapshot-files.ts";

/** What a clone is forked from. Whoever opened it unloads the template. */
export interface CloneSource {
  readonly template: Template;
  readonly record: SnapshotRecord;
}

/**
 * Opens the snapshot that the pod is to be cloned from; undefined for a pod that is no clone, and for one that lost its
 * machine after the snapshot had gone: that one begins anew. Throws {@link NodeError} `CreateContainerConfigError` for
 * what may still come, `CloneRefused` for what never will.
 */
export async function openCloneSource(context: PodContext): Promise<CloneSource | undefined> {
  const { options, pod, signal } = context;
  const name = pod.metadata.annotations?.[snapshotAnnotation];
  if (name === undefined) return undefined;
  const before = context.record.value.clone;
  const snapshot = await findSnapshot(context, name, signal);
  const isSame = before === undefined || snapshot?.metadata.uid === before.snapshotUID;
  if (before !== undefined && (snapshot === undefined || !isSame)) return undefined;
  if (snapshot === undefined) throw notYet(name, "not found", "Create it, or delete this pod.");
  if (snapshot.metadata.deletionTimestamp !== undefined) throw notYet(name, "is being deleted", "Clone from another.");
  const { status } = snapshot;
  if (status?.phase === "Failed") throw refused(name, `failed: ${status.message ?? "no reason was given"}`);
  if (status?.phase !== "Ready") throw notYet(name, "is not ready yet", "The pod starts by itself when it is.");
  if (status.nodeName !== options.nodeName) throw refused(name, `is on node ${status.nodeName}, not on this one`);
  const record = await options.snapshots.read(snapshot.metadata.uid ?? "");
  if (record === undefined) throw refused(name, "has lost its files");
  const difference = differenceOf(pod, record);
  if (difference !== undefined) throw refused(name, `is of another pod: ${difference} is not as it was there`);
  const template = await options.vmm.openSnapshot(options.snapshots.directoryOf(record.uid));
  if (template === undefined) throw refused(name, "is damaged");
  return { template, record };
}

async function findSnapshot(
  { options, pod }: PodContext,
  name: string,
  signal: AbortSignal,
): Promise<Snapshot | undefined> {
  try {
    return await options.client.get(resources.snapshots, pod.metadata.namespace, name, { signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function notYet(name: string, why: string, remedy: string): NodeError {
  return new NodeError(`snapshot "${name}" ${why}`, {
    code: "CreateContainerConfigError",
    stage: "clone",
    object: name,
    remedy,
  });
}

function refused(name: string, why: string): NodeError {
  return new NodeError(`the snapshot ${name} ${why}`, {
    code: "CloneRefused",
    stage: "clone",
    object: name,
    remedy: "Make the pod of a snapshot that is ready, as its status.podTemplate says, on its node.",
  });
}

/** What runs in the machine already: a pod that says otherwise would not be what it says. */
const settled = ["initContainers", "containers", "volumes", "securityContext"] as const;

/** The first field by which the pod is not the one that was saved, as in `spec.containers[0].image`. */
export function differenceOf(pod: Pod, { podTemplate }: Pick<SnapshotRecord, "podTemplate">): string | undefined {
  const own = podTemplateOf(pod).spec;
  for (const field of settled) {
    const found = firstDifference(podTemplate.spec[field] ?? [], own[field] ?? [], `spec.${field}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function firstDifference(before: unknown, now: unknown, path: string): string | undefined {
  if (before === now) return undefined;
  if (typeof before !== "object" || typeof now !== "object" || before === null || now === null) return path;
  const isList = Array.isArray(before);
  const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
  for (const key of keys) {
    const [old, own] = [Reflect.get(before, key) as unknown, Reflect.get(now, key) as unknown];
    const found = firstDifference(old, own, isList ? `${path}[${key}]` : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
