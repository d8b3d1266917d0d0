import { qosClassOf, usageFinalizer } from "../pod-resources.ts";
import { QuantityError } from "../quantity.ts";
import type { ObjectMeta } from "../types/meta.ts";
import type { Pod, PodSpec, PodStatus, Toleration } from "../types/pod.ts";
import type { Volume } from "../types/volume.ts";
import { defaultContainer } from "./container.ts";

/** Priorities of the two classes that every cluster has; a pod without a class has 0. */
const classPriorities: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

/** How long a pod stays bound to a node that is lost. */
const lostNodeSeconds = 300;
const lostNodeTaints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/**
 * What kube-apiserver and its built-in admission fill in for a pod (1.35), in one step.
 *
 * Left out on purpose: the volume with the service account's token, as instances have no way to the API server yet.
 */
export function defaultPod(pod: Pod): Pod {
  const spec = defaultSpec(pod.spec);
  return { ...pod, metadata: heldForMetering(pod.metadata), spec, status: defaultStatus(spec, pod.status) };
}

/** `kubectl replace` with a manifest of old would let go of the pod before its usage is in the ledger. */
function heldForMetering(metadata: ObjectMeta): ObjectMeta {
  const finalizers = metadata.finalizers ?? [];
  if (metadata.deletionTimestamp !== undefined || finalizers.includes(usageFinalizer)) return metadata;
  return { ...metadata, finalizers: [...finalizers, usageFinalizer] };
}

function defaultSpec(given: PodSpec | undefined): PodSpec {
  const spec: PodSpec = { ...given, containers: given?.containers ?? [] };
  const account = spec.serviceAccountName || spec.serviceAccount || "default";
  return {
    ...spec,
    containers: spec.containers.map(defaultContainer),
    ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(defaultContainer) }),
    ...(spec.volumes === undefined ? {} : { volumes: spec.volumes.map(defaultVolume) }),
    restartPolicy: spec.restartPolicy ?? "Always",
    terminationGracePeriodSeconds: spec.terminationGracePeriodSeconds ?? 30,
    dnsPolicy: spec.dnsPolicy ?? "ClusterFirst",
    serviceAccountName: account,
    serviceAccount: account,
    securityContext: spec.securityContext ?? {},
    schedulerName: spec.schedulerName || "default-scheduler",
    tolerations: withLostNodeTolerations(spec.tolerations ?? []),
    priority: spec.priority ?? classPriorities[spec.priorityClassName ?? ""] ?? 0,
    preemptionPolicy: spec.preemptionPolicy ?? "PreemptLowerPriority",
    enableServiceLinks: spec.enableServiceLinks ?? true,
  };
}

/** A pod is born pending; whoever writes a status keeps it. */
function defaultStatus(spec: PodSpec, status: PodStatus | undefined): PodStatus {
  if (status?.phase !== undefined && status.qosClass !== undefined) return status;
  try {
    return { phase: "Pending", qosClass: qosClassOf(spec), ...status };
  } catch (error) {
    // Validation names the field.
    if (error instanceof QuantityError) return { phase: "Pending", ...status };
    throw error;
  }
}

function defaultVolume(volume: Volume): Volume {
  if (volume.secret !== undefined)
    return { ...volume, secret: { ...volume.secret, defaultMode: volume.secret.defaultMode ?? 0o644 } };
  if (volume.configMap !== undefined) {
    return { ...volume, configMap: { ...volume.configMap, defaultMode: volume.configMap.defaultMode ?? 0o644 } };
  }
  const hasSource = Object.keys(volume).some((key) => key !== "name");
  return hasSource ? volume : { ...volume, emptyDir: {} };
}

function withLostNodeTolerations(tolerations: readonly Toleration[]): readonly Toleration[] {
  const missing = lostNodeTaints.filter(
    (taint) => !tolerations.some((toleration) => toleratesExecution(toleration, taint)),
  );
  if (missing.length === 0) return tolerations;
  const added = missing.map((key): Toleration => {
    return { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: lostNodeSeconds };
  });
  return [...tolerations, ...added];
}

function toleratesExecution(toleration: Toleration, taint: string): boolean {
  const isKey = toleration.key === undefined || toleration.key === "" || toleration.key === taint;
  const isEffect = toleration.effect === undefined || toleration.effect === "" || toleration.effect === "NoExecute";
  return isKey && isEffect;
}
