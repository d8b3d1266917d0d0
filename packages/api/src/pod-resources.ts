import { compareQuantity, parseQuantity, quantityToBytes, quantityToMilli } from "./quantity.ts";
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
/** Held on a pod until its usage is in the ledger. */
export const usageFinalizer = "isopod.dev/usage";

export function sizeAnnotations(size: InstanceSize): Readonly<Record<string, string>> {
  return { [sizeCpuAnnotation]: `${size.cpuMilli}m`, [sizeMemoryAnnotation]: `${size.memoryMiB}Mi` };
}

/** The size admission wrote on the pod, else the one it would write; undefined when the pod is beyond the largest. */
export function podSize(pod: Pod): InstanceSize | undefined {
  const cpu = pod.metadata.annotations?.[sizeCpuAnnotation];
  const memory = pod.metadata.annotations?.[sizeMemoryAnnotation];
  if (cpu !== undefined && memory !== undefined) {
    return {
      cpuMilli: quantityToMilli(parseQuantity(cpu)),
      memoryMiB: Math.ceil(quantityToBytes(parseQuantity(memory)) / 1_048_576),
    };
  }
  const sizing = sizePod(pod.spec);
  return sizing.causes.length === 0 ? sizing.size : undefined;
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
