import { compareQuantity, parseQuantity } from "./quantity.ts";
import { type InstanceSize, sizePod, vmOverhead } from "./sizing.ts";
import type { Container } from "./types/container.ts";
import type { Pod, PodSpec, QosClass } from "./types/pod.ts";

/** The size given at create, `250m`. */
export const sizeCpuAnnotation = "isopod.dev/size-cpu";
/** The size given at create, `512Mi`. */
export const sizeMemoryAnnotation = "isopod.dev/size-memory";
/** Name of the pod's VPC; `default` when absent. */
export const vpcAnnotation = "isopod.dev/vpc";
export const defaultVpcName = "default";
/** The address the pod was given. */
export const addressAnnotation = "isopod.dev/address";
/** Moments of a pod's start as the node agent saw them: JSON, step to microseconds since the epoch. */
export const startStagesAnnotation = "isopod.dev/start-stages";
/** How the instance is to begin: `cold` boots its machine, `template` (default) forks one that is booted. Immutable. */
export const startFromAnnotation = "isopod.dev/start-from";
export const startFromValues = ["template", "cold"] as const;
export type StartFrom = (typeof startFromValues)[number];
/** What the instance's machine was made from, as the node agent did it: one of {@link startedFromValues}. */
export const startedFromAnnotation = "isopod.dev/started-from";
export const startedFromValues = ["cold", "template", "snapshot"] as const;
export type StartedFrom = (typeof startedFromValues)[number];
/** `true`: the instance is to be paused; `false` or absent: it is to run. May change at any time. */
export const pausedAnnotation = "isopod.dev/paused";
/** Name of the Snapshot in the pod's namespace that this pod is cloned from. Immutable. */
export const snapshotAnnotation = "isopod.dev/snapshot";
/** Condition of a pod: `True` while its machine stands still. The node agent's. */
export const pausedCondition = "isopod.dev/Paused";
/** Reason of {@link pausedCondition} when the machine could not be stopped, or started again; the message says why. */
export const pauseFailedReason = "PauseFailed";
/** Held on a snapshot until its files are gone from its node. */
export const snapshotFinalizer = "isopod.dev/snapshot";
/** On a usage segment: the UID of its pod. */
export const podUidLabel = "isopod.dev/pod-uid";
/** Held on a pod until its usage is in the ledger. */
export const usageFinalizer = "isopod.dev/usage";

export function sizeAnnotations(size: InstanceSize): Readonly<Record<string, string>> {
  return { [sizeCpuAnnotation]: `${size.cpuMilli}m`, [sizeMemoryAnnotation]: `${size.memoryMiB}Mi` };
}

/**
 * The size admission wrote on the pod, else the one it would write; undefined when the pod is beyond the largest.
 *
 * The annotations pin the size of a running instance against later changes of the catalogue; they may be dropped by an
 * update, never changed to another size.
 */
export function podSize(pod: Pod): InstanceSize | undefined {
  const written = readSizeAnnotations(pod);
  if (written !== undefined) return written;
  const sizing = sizePod(pod.spec);
  return sizing.causes.length === 0 ? sizing.size : undefined;
}

const cpuPattern = /^(\d{1,6})m$/;
const memoryPattern = /^(\d{1,7})Mi$/;

/** Only what {@link sizeAnnotations} writes is read. */
function readSizeAnnotations(pod: Pod): InstanceSize | undefined {
  const cpu = cpuPattern.exec(pod.metadata.annotations?.[sizeCpuAnnotation] ?? "");
  const memory = memoryPattern.exec(pod.metadata.annotations?.[sizeMemoryAnnotation] ?? "");
  if (cpu === null || memory === null) return undefined;
  return { cpuMilli: Number(cpu[1]), memoryMiB: Number(memory[1]) };
}

/** What the pod takes of a node: its size and the VM around it. Undefined as {@link podSize}. */
export function podNodeRequest(pod: Pod): InstanceSize | undefined {
  const size = podSize(pod);
  if (size === undefined) return undefined;
  const overhead = vmOverhead(size);
  return { cpuMilli: size.cpuMilli + overhead.cpuMilli, memoryMiB: size.memoryMiB + overhead.memoryMiB };
}

/** Name of the VPC the pod asks for. */
export function podVpcName(pod: Pod): string {
  return pod.metadata.annotations?.[vpcAnnotation] ?? defaultVpcName;
}

/** How the pod asks to begin. Anything that is no such value counts as the default: validation has refused it. */
export function podStartFrom(pod: Pod): StartFrom {
  return pod.metadata.annotations?.[startFromAnnotation] === "cold" ? "cold" : "template";
}

/** The pod asks to be paused. */
export function isPauseWanted(pod: Pod): boolean {
  return pod.metadata.annotations?.[pausedAnnotation] === "true";
}

/** The pod's machine stands still. */
export function isPaused(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === pausedCondition && status === "True") ?? false;
}

/** Kubernetes's three classes, from CPU and memory of every container. Quantities must be valid. */
export function qosClassOf(spec: PodSpec): QosClass {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const isAnyNamed = containers.some((container) => {
    return isNonZero(container, "requests") || isNonZero(container, "limits");
  });
  if (!isAnyNamed) return "BestEffort";
  return containers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

const qosResources = ["cpu", "memory"] as const;

function isNonZero(container: Container, list: "requests" | "limits"): boolean {
  return qosResources.some((resource) => {
    const text = container.resources?.[list]?.[resource];
    return text !== undefined && parseQuantity(text).nano > 0n;
  });
}

function isGuaranteed(container: Container): boolean {
  return qosResources.every((resource) => {
    const limit = container.resources?.limits?.[resource];
    const request = container.resources?.requests?.[resource] ?? limit;
    if (limit === undefined || request === undefined) return false;
    return parseQuantity(limit).nano > 0n && compareQuantity(parseQuantity(limit), parseQuantity(request)) === 0;
  });
}
