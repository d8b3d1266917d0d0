import { labelValueProblems, qualifiedNameProblems } from "../names.ts";
import type { Lease, ServiceAccount } from "../types/core.ts";
import type { Event } from "../types/event.ts";
import type { ResourceList } from "../types/meta.ts";
import type { Node, Taint } from "../types/node.ts";
import type { StatusCause } from "../types/status.ts";
import { validateReferenceName } from "./env.ts";
import { duplicate, invalidValue, keyed, notSupported, problems, required } from "./field-error.ts";
import { readQuantity } from "./resources.ts";

const effects = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
const maxEventFieldBytes = 1024;

export function validateNode(node: Node, old: Node | undefined): readonly StatusCause[] {
  const causes = [
    ...validateTaints(node.spec?.taints ?? [], "spec.taints"),
    ...validateQuantities(node.status?.capacity ?? {}, "status.capacity"),
    ...validateQuantities(node.status?.allocatable ?? {}, "status.allocatable"),
  ];
  const before = old?.spec?.providerID ?? "";
  if (before !== "" && node.spec?.providerID !== before) {
    causes.push(invalidValue("spec.providerID", node.spec?.providerID ?? "", "field is immutable once set"));
  }
  return causes;
}

export function validateEvent(event: Event): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  const namespace = event.involvedObject.namespace ?? "";
  // Events about cluster-scoped objects live in `default`, as Kubernetes has it.
  const expected = namespace === "" ? ["default", "kube-system"] : [namespace];
  if (!expected.includes(event.metadata.namespace ?? "")) {
    causes.push(invalidValue("involvedObject.namespace", namespace, "does not match event.namespace"));
  }
  const message = event.message ?? "";
  if (event.eventTime !== undefined && event.eventTime !== null && Buffer.byteLength(message) > maxEventFieldBytes) {
    causes.push(
      invalidValue("message", `${message.slice(0, 64)}…`, `can have at most ${maxEventFieldBytes} characters`),
    );
  }
  return causes;
}

export function validateLease(lease: Lease): readonly StatusCause[] {
  const { leaseDurationSeconds, leaseTransitions } = lease.spec ?? {};
  const causes: StatusCause[] = [];
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    causes.push(invalidValue("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0"));
  }
  if (leaseTransitions !== undefined && leaseTransitions < 0) {
    causes.push(invalidValue("spec.leaseTransitions", leaseTransitions, "must be greater than or equal to 0"));
  }
  return causes;
}

export function validateServiceAccount(account: ServiceAccount): readonly StatusCause[] {
  return (account.imagePullSecrets ?? []).flatMap((secret, index) => {
    return validateReferenceName(secret.name, `imagePullSecrets[${index}].name`);
  });
}

function validateTaints(taints: readonly Taint[], path: string): readonly StatusCause[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const at = `${path}[${index}]`;
    const causes = [
      ...problems(`${at}.key`, taint.key, qualifiedNameProblems(taint.key ?? "")),
      ...problems(`${at}.value`, taint.value, labelValueProblems(taint.value ?? "")),
    ];
    if (taint.effect === undefined) causes.push(required(`${at}.effect`));
    else if (!effects.includes(taint.effect)) causes.push(notSupported(`${at}.effect`, taint.effect, effects));
    const identity = `${taint.key}:${taint.effect}`;
    if (seen.has(identity)) causes.push(duplicate(at, { key: taint.key, effect: taint.effect }));
    seen.add(identity);
    return causes;
  });
}

function validateQuantities(list: ResourceList, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  for (const [name, text] of Object.entries(list)) readQuantity(text, keyed(path, name), causes);
  return causes;
}
