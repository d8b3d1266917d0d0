import type { KubeObject } from "@isopod/api";

/** The parts of an object beside its metadata, whatever its kind. */
export type ObjectParts = KubeObject & { readonly spec?: unknown; readonly status?: unknown };

/** The object with the status of another, or without one. */
export function withStatusOf(object: ObjectParts, other: ObjectParts): ObjectParts {
  const rest = withoutStatus(object);
  return other.status === undefined ? rest : { ...rest, status: other.status };
}

/** Everything but kind, metadata and status: what `metadata.generation` counts changes of. */
export function desiredState(object: ObjectParts): object {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

/** The object without its status. */
export function withoutStatus(object: ObjectParts): KubeObject {
  const { status: _status, ...rest } = object;
  return rest;
}

export function withMetadata(object: KubeObject, metadata: Partial<KubeObject["metadata"]>): KubeObject {
  return { ...object, metadata: { ...object.metadata, ...metadata } };
}

/** Kubernetes's Time: RFC 3339 in whole seconds. */
export function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
