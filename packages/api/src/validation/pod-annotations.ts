import { dns1123LabelProblems } from "../names.ts";
import { podVpcName, sizeAnnotations, vpcAnnotation } from "../pod-resources.ts";
import { sizePod } from "../sizing.ts";
import type { Pod } from "../types/pod.ts";
import type { StatusCause } from "../types/status.ts";
import { invalidValue, keyed, problems } from "./field-error.ts";

const path = "metadata.annotations";

/** The VPC must be a name, and stays: the interface is plugged in. */
export function validatePodAnnotations(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  const vpc = podVpcName(pod);
  const field = keyed(path, vpcAnnotation);
  const causes = [...problems(field, vpc, dns1123LabelProblems(vpc))];
  if (old === undefined) return causes;
  if (vpc !== podVpcName(old)) causes.push(invalidValue(field, vpc, "field is immutable"));
  return [...causes, ...validateSize(pod, old)];
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
