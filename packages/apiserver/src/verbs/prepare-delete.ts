import {
  conflict,
  type DeleteOptions,
  type KubeObject,
  type Pod,
  type ResourceDefinition,
  resources,
} from "@isopod/api";
import { timeOf, withMetadata } from "../objects/parts.ts";
import { namespaceFinalizers } from "./change-object.ts";
import { isPod } from "../objects/kinds.ts";

/** What a delete does to an object. */
export type Deletion =
  /** Nothing keeps it: it goes now. */
  | { readonly type: "remove"; readonly object: KubeObject }
  /** It stays, marked, until its grace is over and its finalizers are gone. */
  | { readonly type: "mark"; readonly object: KubeObject }
  /** It is marked already, and this delete asks for nothing more. */
  | { readonly type: "none"; readonly object: KubeObject };

const orphanFinalizer = "orphan";
const foregroundFinalizer = "foregroundDeletion";
const defaultGraceSeconds = 30;

/**
 * Follows `BeforeDelete` and `deletionFinalizersForGarbageCollection` of kube-apiserver (1.35).
 * Throws Conflict when a precondition does not hold.
 */
export function prepareDelete(
  definition: ResourceDefinition,
  current: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): Deletion {
  checkPreconditions(definition, current, options);
  if (definition === resources.namespaces) return deleteNamespace(current, nowMs);
  const finalizers = finalizersFor(current, options);
  const object = withFinalizers(current, finalizers);
  const { deletionTimestamp, deletionGracePeriodSeconds } = current.metadata;
  if (deletionTimestamp !== undefined && deletionGracePeriodSeconds !== undefined) {
    return deleteAgain(current, deletionTimestamp, deletionGracePeriodSeconds, options);
  }
  const graceSeconds = isPod(current) ? podGraceSeconds(current, options) : 0;
  if (graceSeconds === 0 && finalizers.length === 0) return { type: "remove", object: mark(object, 0, nowMs) };
  return { type: "mark", object: mark(object, graceSeconds, nowMs) };
}

/** A second delete may only shorten the grace; with none left and no finalizer, the object goes. */
function deleteAgain(
  current: KubeObject,
  deletionTimestamp: string,
  graceSeconds: number,
  { gracePeriodSeconds }: DeleteOptions,
): Deletion {
  const isKept = (current.metadata.finalizers ?? []).length > 0;
  if (graceSeconds === 0) return isKept ? { type: "none", object: current } : { type: "remove", object: current };
  const asked = gracePeriodSeconds === undefined ? graceSeconds : atLeastZero(gracePeriodSeconds);
  if (asked >= graceSeconds) return { type: "none", object: current };
  const endMs = Date.parse(deletionTimestamp) + (asked - graceSeconds) * 1000;
  const object = withMetadata(current, {
    deletionTimestamp: timeOf(endMs),
    deletionGracePeriodSeconds: asked,
  });
  return { type: asked === 0 && !isKept ? "remove" : "mark", object };
}

function mark(object: KubeObject, graceSeconds: number, nowMs: number): KubeObject {
  const { deletionTimestamp, generation } = object.metadata;
  return withMetadata(object, {
    deletionTimestamp: deletionTimestamp ?? timeOf(nowMs + graceSeconds * 1000),
    deletionGracePeriodSeconds: graceSeconds,
    ...(generation === undefined ? {} : { generation: generation + 1 }),
  });
}

/** A pod that runs nowhere, or no longer, needs no time to stop. */
function podGraceSeconds(pod: Pod, { gracePeriodSeconds }: DeleteOptions): number {
  if ((pod.spec.nodeName ?? "") === "") return 0;
  if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return 0;
  return atLeastZero(gracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds);
}

/** A negative grace means one second. */
function atLeastZero(seconds: number): number {
  return seconds < 0 ? 1 : seconds;
}

/** The namespace controller empties it and takes `spec.finalizers` away, through `/finalize`. */
function deleteNamespace(current: KubeObject, nowMs: number): Deletion {
  const isKept = namespaceFinalizers(current).length > 0 || (current.metadata.finalizers ?? []).length > 0;
  if (current.metadata.deletionTimestamp !== undefined) {
    return { type: isKept ? "none" : "remove", object: current };
  }
  const marked = withMetadata(current, { deletionTimestamp: timeOf(nowMs) });
  const terminating = { ...marked, status: { phase: "Terminating" } };
  return { type: isKept ? "mark" : "remove", object: terminating };
}

/** The finalizers by which the garbage collector learns what to do with dependents first. */
function finalizersFor(current: KubeObject, options: DeleteOptions): readonly string[] {
  const present = current.metadata.finalizers ?? [];
  const { propagationPolicy, orphanDependents } = options;
  if (propagationPolicy === undefined && orphanDependents === undefined) return present;
  const others = present.filter((finalizer) => finalizer !== orphanFinalizer && finalizer !== foregroundFinalizer);
  if (propagationPolicy === "Orphan" || orphanDependents === true) return [...others, orphanFinalizer];
  return propagationPolicy === "Foreground" ? [...others, foregroundFinalizer] : others;
}

function withFinalizers(object: KubeObject, finalizers: readonly string[]): KubeObject {
  const { finalizers: _finalizers, ...metadata } = object.metadata;
  return { ...object, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
}

function checkPreconditions(
  definition: ResourceDefinition,
  current: KubeObject,
  { preconditions }: DeleteOptions,
): void {
  const { name, uid, resourceVersion } = current.metadata;
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw conflict(
      definition,
      name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`,
    );
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    throw conflict(
      definition,
      name,
      `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`,
    );
  }
}
