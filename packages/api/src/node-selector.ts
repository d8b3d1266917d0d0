import type { Node } from "./types/node.ts";
import type { NodeSelectorRequirement, NodeSelectorTerm } from "./types/pod.ts";

const integerPattern = /^[+-]?\d{1,19}$/;

/** One term of a required node affinity: all of its expressions hold. A term without any matches no node. */
export function matchesNodeSelectorTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    matchExpressions.every((requirement) => {
      return matches(requirement, Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined);
    }) &&
    matchFields.every((requirement) => {
      return matches(requirement, requirement.key === "metadata.name" ? node.metadata.name : undefined);
    })
  );
}

function matches(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return compares(value, values[0], (a, b) => a > b);
    case "Lt":
      return compares(value, values[0], (a, b) => a < b);
    default:
      return requirement.operator satisfies never;
  }
}

function compares(
  value: string | undefined,
  bound: string | undefined,
  holds: (a: bigint, b: bigint) => boolean,
): boolean {
  if (value === undefined || bound === undefined) return false;
  return integerPattern.test(value) && integerPattern.test(bound) && holds(BigInt(value), BigInt(bound));
}
