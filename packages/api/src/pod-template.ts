import {
  addressAnnotation,
  pausedAnnotation,
  sizeCpuAnnotation,
  sizeMemoryAnnotation,
  snapshotAnnotation,
  startedFromAnnotation,
  startFromAnnotation,
  startStagesAnnotation,
} from "./pod-resources.ts";
import type { PodTemplate } from "./types/isopod.ts";

/** What is true of one pod, and not of another that is made like it. */
const ownAnnotations = new Set([
  addressAnnotation,
  pausedAnnotation,
  sizeCpuAnnotation,
  sizeMemoryAnnotation,
  snapshotAnnotation,
  startedFromAnnotation,
  startFromAnnotation,
  startStagesAnnotation,
  // `kubectl apply` of the original's manifest would take the clone for what it made.
  "kubectl.kubernetes.io/last-applied-configuration",
]);

/** A pod without what is its own: what another one of the same containers, volumes and network is made of. */
export function podTemplateOf(pod: PodTemplate): PodTemplate {
  const { nodeName: _nodeName, ...spec } = pod.spec;
  const { labels, annotations = {} } = pod.metadata;
  const kept = Object.entries(annotations).filter(([key]) => !ownAnnotations.has(key));
  return {
    metadata: {
      ...(labels === undefined ? {} : { labels }),
      ...(kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) }),
    },
    spec,
  };
}
