import { labelValueProblems, qualifiedNameProblems } from "../names.ts";
import type { NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration } from "../types/pod.ts";
import type { StatusCause } from "../types/status.ts";
import { forbiddenField, invalidValue, notSupported, problems, required } from "./field-error.ts";
import { validateLabels } from "./object-meta.ts";
import { refuseUnsupported, supported } from "./unsupported.ts";

const effects = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
const priorityClasses = ["system-cluster-critical", "system-node-critical"];
const selectorOperators = ["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"];

/** Everything in a pod's spec that decides where it runs. */
export function validateScheduling(spec: PodSpec, path: string): readonly StatusCause[] {
  const causes = [
    ...validateLabels(spec.nodeSelector ?? {}, `${path}.nodeSelector`),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...refuseUnsupported(spec.affinity, supported.affinity, `${path}.affinity`),
    ...validateNodeAffinity(spec, `${path}.affinity.nodeAffinity`),
  ];
  const className = spec.priorityClassName ?? "";
  if (className !== "" && !priorityClasses.includes(className)) {
    causes.push(forbiddenField(`${path}.priorityClassName`, `no PriorityClass with name ${className} was found`));
  }
  for (const [index, gate] of (spec.schedulingGates ?? []).entries()) {
    causes.push(
      ...problems(`${path}.schedulingGates[${index}].name`, gate.name, qualifiedNameProblems(gate.name ?? "")),
    );
  }
  return causes;
}

export function validateTolerations(tolerations: readonly Toleration[], path: string): readonly StatusCause[] {
  return tolerations.flatMap((toleration, index) => validateToleration(toleration, `${path}[${index}]`));
}

function validateToleration(toleration: Toleration, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  const { key = "", operator = "Equal", value = "", effect = "", tolerationSeconds } = toleration;
  if (key !== "") causes.push(...problems(`${path}.key`, key, qualifiedNameProblems(key)));
  else if (operator !== "Exists") {
    const detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
    causes.push(invalidValue(`${path}.operator`, operator, detail));
  }
  if (tolerationSeconds !== undefined && effect !== "NoExecute") {
    causes.push(invalidValue(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
  }
  if (operator === "Equal") causes.push(...problems(`${path}.operator`, value, labelValueProblems(value)));
  else if (operator !== "Exists") causes.push(notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  else if (value !== "") {
    causes.push(invalidValue(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'"));
  }
  if (effect !== "" && !effects.includes(effect)) causes.push(notSupported(`${path}.effect`, effect, effects));
  return causes;
}

function validateNodeAffinity(spec: PodSpec, path: string): readonly StatusCause[] {
  const affinity = spec.affinity?.nodeAffinity;
  const causes: StatusCause[] = [];
  const requiredTerms = affinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (requiredTerms !== undefined) {
    const at = `${path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
    const terms = requiredTerms.nodeSelectorTerms ?? [];
    if (terms.length === 0) causes.push(required(at, "must have at least one node selector term"));
    causes.push(...terms.flatMap((term, index) => validateTerm(term, `${at}[${index}]`)));
  }
  const preferred = affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  preferred.forEach(({ weight, preference }, index) => {
    const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
    if (!(weight >= 1 && weight <= 100))
      causes.push(invalidValue(`${at}.weight`, weight ?? 0, "must be in the range 1-100"));
    causes.push(...validateTerm(preference ?? {}, `${at}.preference`));
  });
  return causes;
}

function validateTerm(term: NodeSelectorTerm, path: string): readonly StatusCause[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((requirement, index) => {
      const at = `${path}.matchExpressions[${index}]`;
      return [
        ...problems(`${at}.key`, requirement.key, qualifiedNameProblems(requirement.key ?? "")),
        ...validateRequirement(requirement, at),
      ];
    }),
    ...(term.matchFields ?? []).flatMap((requirement, index) => {
      const at = `${path}.matchFields[${index}]`;
      const causes = validateRequirement(requirement, at);
      if (requirement.key === "metadata.name") return causes;
      return [...causes, invalidValue(`${at}.key`, requirement.key ?? "", "not a valid field selector key")];
    }),
  ];
}

function validateRequirement({ operator, values = [] }: NodeSelectorRequirement, path: string): readonly StatusCause[] {
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.length > 0) return [];
      return [required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'")];
    case "Exists":
    case "DoesNotExist":
      if (values.length === 0) return [];
      return [forbiddenField(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")];
    case "Gt":
    case "Lt":
      if (values.length === 1) return [];
      return [required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'")];
    default:
      return [notSupported(`${path}.operator`, operator, selectorOperators)];
  }
}
