import { dns1123LabelProblems, dns1123SubdomainProblems } from "../names.ts";
import {
  pausedAnnotation,
  podStartFrom,
  podVpcName,
  sizeAnnotations,
  snapshotAnnotation,
  startFromAnnotation,
  startFromValues,
  vpcAnnotation,
} from "../pod-resources.ts";
import { sizePod } from "../sizing.ts";
import type { Pod } from "../types/pod.ts";
import type { StatusCause } from "../types/status.ts";
import { forbiddenField, invalidValue, keyed, notSupported, problems } from "./field-error.ts";

const path = "metadata.annotations";
const pausedValues = ["false", "true"];

/** Isopod's own annotations: what they may say, and which of them stay for the life of the pod. */
export function validatePodAnnotations(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  return [
    ...validateVpc(pod, old),
    ...validateStart(pod, old),
    ...validatePaused(pod, old),
    ...(old === undefined ? [] : validateSize(pod, old)),
  ];
}

/** The VPC must be a name, and stays: the interface is plugged in. */
function validateVpc(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  const vpc = podVpcName(pod);
  const field = keyed(path, vpcAnnotation);
  const causes = problems(field, vpc, dns1123LabelProblems(vpc));
  if (old === undefined || vpc === podVpcName(old)) return causes;
  return [...causes, invalidValue(field, vpc, "field is immutable")];
}

/** What the instance begins from is settled when it is made. */
function validateStart(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  const [startField, snapshotField] = [keyed(path, startFromAnnotation), keyed(path, snapshotAnnotation)];
  const startFrom = pod.metadata.annotations?.[startFromAnnotation];
  const snapshot = pod.metadata.annotations?.[snapshotAnnotation];
  const causes: StatusCause[] = [];
  if (startFrom !== old?.metadata.annotations?.[startFromAnnotation]) {
    if (startFrom !== undefined && !startFromValues.some((value) => value === startFrom)) {
      causes.push(notSupported(startField, startFrom, startFromValues));
    } else if (old !== undefined && podStartFrom(pod) !== podStartFrom(old)) {
      causes.push(invalidValue(startField, startFrom ?? "", "field is immutable"));
    }
  }
  if (old !== undefined) {
    if (snapshot === old.metadata.annotations?.[snapshotAnnotation]) return causes;
    return [...causes, invalidValue(snapshotField, snapshot ?? "", "field is immutable")];
  }
  if (snapshot === undefined) return causes;
  causes.push(...problems(snapshotField, snapshot, dns1123SubdomainProblems(snapshot)));
  if (startFrom === "cold") {
    causes.push(forbiddenField(startField, `a clone does not boot: leave out this or ${snapshotAnnotation}`));
  }
  return causes;
}

/** Only what changes is judged: an object of before there was a pause may say anything. */
function validatePaused(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  const paused = pod.metadata.annotations?.[pausedAnnotation];
  if (paused === undefined || pausedValues.includes(paused)) return [];
  if (old !== undefined && paused === old.metadata.annotations?.[pausedAnnotation]) return [];
  return [notSupported(keyed(path, pausedAnnotation), paused, pausedValues)];
}

/** The size is what is billed: a copy of it that an update brings must be the true one. */
function validateSize(pod: Pod, old: Pod): readonly StatusCause[] {
  const derived = sizeAnnotations(sizePod(old.spec).size);
  return Object.entries(derived).flatMap(([key, size]) => {
    const given = pod.metadata.annotations?.[key];
    if (given === undefined || given === (old.metadata.annotations?.[key] ?? size)) return [];
    return [invalidValue(keyed(path, key), given, "field is immutable")];
  });
}
