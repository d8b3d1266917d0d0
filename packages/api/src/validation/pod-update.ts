import type { Container } from "../types/container.ts";
import type { PodSpec, Toleration } from "../types/pod.ts";
import type { StatusCause } from "../types/status.ts";
import { forbiddenField, invalidValue } from "./field-error.ts";
import { changedKeys, isSameJson } from "./same-json.ts";

/** kube-apiserver's list, word for word: kubectl users search for it. */
const mutableFields = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
].join(",");

/** A running pod is what it was made of, save for a few fields. */
export function validatePodUpdate(spec: PodSpec, old: PodSpec): readonly StatusCause[] {
  const causes = [
    ...validateContainerCount(spec.containers, old.containers, "spec.containers"),
    ...validateContainerCount(spec.initContainers ?? [], old.initContainers ?? [], "spec.initContainers"),
  ];
  if (causes.length > 0) return causes;
  causes.push(
    ...validateDeadline(spec.activeDeadlineSeconds, old.activeDeadlineSeconds),
    ...validateAddedTolerations(spec.tolerations ?? [], old.tolerations ?? []),
    ...validateGates(spec, old),
  );
  const changed = changedKeys(withoutMutable(spec), withoutMutable(old));
  if (changed.length > 0) {
    const list = changed.map((key) => `spec.${key}`).join(", ");
    causes.push(
      forbiddenField("spec", `pod updates may not change fields other than ${mutableFields}\nchanged: ${list}`),
    );
  }
  return causes;
}

function validateContainerCount(
  containers: readonly Container[],
  old: readonly Container[],
  field: string,
): StatusCause[] {
  if (containers.length === old.length) return [];
  return [forbiddenField(field, "pod updates may not add or remove containers")];
}

function validateDeadline(seconds: number | undefined, old: number | undefined): readonly StatusCause[] {
  const field = "spec.activeDeadlineSeconds";
  if (old === undefined) return [];
  if (seconds === undefined) return [invalidValue(field, null, "must not update from a positive integer to nil value")];
  return seconds <= old ? [] : [invalidValue(field, seconds, "must be less than or equal to previous value")];
}

function validateAddedTolerations(
  tolerations: readonly Toleration[],
  old: readonly Toleration[],
): readonly StatusCause[] {
  const isKept = old.every((before) => {
    return tolerations.some((toleration) =>
      changedKeys(toleration, before).every((key) => key === "tolerationSeconds"),
    );
  });
  if (isKept) return [];
  return [forbiddenField("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

function validateGates(spec: PodSpec, old: PodSpec): readonly StatusCause[] {
  return (spec.schedulingGates ?? []).flatMap((gate, index) => {
    if ((old.schedulingGates ?? []).some((before) => isSameJson(before, gate))) return [];
    return [
      forbiddenField(`spec.schedulingGates[${index}]`, "only deletion is allowed, but found new scheduling gate"),
    ];
  });
}

function withoutMutable(spec: PodSpec): object {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, schedulingGates: _gates, ...fixed } = spec;
  return {
    ...fixed,
    containers: spec.containers.map(withoutImage),
    initContainers: (spec.initContainers ?? []).map(withoutImage),
  };
}

function withoutImage({ image: _image, ...fixed }: Container): object {
  return fixed;
}
