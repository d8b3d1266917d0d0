import { invalid, type Pod, resources, sizeAnnotations, sizePod, usageFinalizer } from "@isopod/api";

/**
 * Settles the size of a new pod: the catalogue's, written on it as annotations, told when it was rounded up, and
 * metered: the finalizer keeps the pod until its usage is in the ledger.
 * Throws Invalid beyond the largest size.
 */
export function sizeNewPod(pod: Pod, warn: (message: string) => void): Pod {
  const sizing = sizePod(pod.spec);
  if (sizing.causes.length > 0) throw invalid(resources.pods, pod.metadata.name, sizing.causes);
  if (sizing.isRounded) warn(sizing.message);
  const finalizers = pod.metadata.finalizers ?? [];
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { ...pod.metadata.annotations, ...sizeAnnotations(sizing.size) },
      finalizers: finalizers.includes(usageFinalizer) ? finalizers : [...finalizers, usageFinalizer],
    },
  };
}
