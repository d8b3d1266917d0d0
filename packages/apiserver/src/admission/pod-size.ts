import { type Pod, sizeAnnotations, sizePod } from "@isopod/api";

/**
 * Settles the size of a new pod, which is the catalogue's: written on it as annotations, and told when it was rounded
 * up. The pod is valid: validation has refused what is beyond the largest size, and defaulting holds it for metering.
 */
export function sizeNewPod(pod: Pod, warn: (message: string) => void): Pod {
  const sizing = sizePod(pod.spec);
  if (sizing.isRounded) warn(sizing.message);
  const annotations = { ...pod.metadata.annotations, ...sizeAnnotations(sizing.size) };
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}
