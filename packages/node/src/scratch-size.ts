import { type Container, type Pod, parseQuantity, quantityToBytes } from "@isopod/api";

const mib = 1024 * 1024;
const gib = 1024 * mib;

/** Size of the writable disk when the pod limits no ephemeral storage. */
export const defaultScratchBytes = 10 * gib;

/** Sizes are rounded up, so that tenants share the formatted templates that each size needs one of. */
const stepBytes = 64 * mib;

/**
 * The size of a pod's writable disk, which holds what its containers write and its emptyDirs: the sum of its containers'
 * `ephemeral-storage` limits, or what its init containers need if that is more; 10 GiB when none has a limit.
 */
export function scratchBytes(pod: Pod): number {
  const limitOf = (container: Container): number => {
    const limit = container.resources?.limits?.["ephemeral-storage"];
    return limit === undefined ? 0 : quantityToBytes(parseQuantity(limit));
  };
  let sidecars = 0;
  let initMaximum = 0;
  for (const container of pod.spec.initContainers ?? []) {
    const bytes = limitOf(container);
    if (container.restartPolicy === "Always") sidecars += bytes;
    initMaximum = Math.max(initMaximum, container.restartPolicy === "Always" ? sidecars : sidecars + bytes);
  }
  const sum = pod.spec.containers.reduce((total, container) => total + limitOf(container), sidecars);
  const wanted = Math.max(sum, initMaximum);
  return wanted === 0 ? defaultScratchBytes : Math.ceil(wanted / stepBytes) * stepBytes;
}
