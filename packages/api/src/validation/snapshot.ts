import { dns1123SubdomainProblems } from "../names.ts";
import type { Snapshot } from "../types/isopod.ts";
import type { StatusCause } from "../types/status.ts";
import { invalidValue, notSupported, problems, required } from "./field-error.ts";
import { isSameJson } from "./same-json.ts";

const phases = ["Failed", "Pending", "Ready"];

/** One instance by name, for good. */
export function validateSnapshot(snapshot: Snapshot, old: Snapshot | undefined): readonly StatusCause[] {
  const podName = snapshot.spec?.podName ?? "";
  const causes =
    podName === ""
      ? [required("spec.podName")]
      : [...problems("spec.podName", podName, dns1123SubdomainProblems(podName))];
  if (old !== undefined && !isSameJson(snapshot.spec, old.spec)) {
    causes.push(invalidValue("spec", snapshot.spec, "field is immutable"));
  }
  return [...causes, ...validateStatus(snapshot.status ?? {})];
}

function validateStatus(status: NonNullable<Snapshot["status"]>): readonly StatusCause[] {
  const { phase, sizeBytes, pauseMillis, nodeName = "", podTemplate } = status;
  const causes: StatusCause[] = [];
  if (phase !== undefined && !phases.includes(phase)) causes.push(notSupported("status.phase", phase, phases));
  if (sizeBytes !== undefined && sizeBytes < 0) {
    causes.push(invalidValue("status.sizeBytes", sizeBytes, "must be greater than or equal to 0"));
  }
  if (pauseMillis !== undefined && pauseMillis < 0) {
    causes.push(invalidValue("status.pauseMillis", pauseMillis, "must be greater than or equal to 0"));
  }
  // Without them there is nothing to clone from, nor a place to do it.
  if (phase === "Ready" && nodeName === "")
    causes.push(required("status.nodeName", "a snapshot that is ready is on a node"));
  if (phase === "Ready" && podTemplate === undefined) {
    causes.push(required("status.podTemplate", "a snapshot that is ready says what a clone is made of"));
  }
  return causes;
}
