import type { Namespace, Secret } from "../types/core.ts";
import type { Event } from "../types/event.ts";
import type { Node } from "../types/node.ts";

/** The finalizer goes on with the first phase, so that the update which takes it away stays as it is. */
export function defaultNamespace(namespace: Namespace): Namespace {
  const { metadata, status } = namespace;
  const labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
  const named = metadata.name === "" ? namespace : { ...namespace, metadata: { ...metadata, labels } };
  if (status?.phase !== undefined) return named;
  return {
    ...named,
    spec: { ...namespace.spec, finalizers: namespace.spec?.finalizers ?? ["kubernetes"] },
    status: { ...status, phase: "Active" },
  };
}

/** `stringData` is a way of writing `data`, and is never stored. */
export function defaultSecret(secret: Secret): Secret {
  const { stringData, ...stored } = secret;
  const typed = { ...stored, type: secret.type || "Opaque" };
  if (stringData === undefined) return typed;
  const encoded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]);
  return { ...typed, data: { ...secret.data, ...Object.fromEntries(encoded) } };
}

export function defaultNode(node: Node): Node {
  const capacity = node.status?.capacity;
  if (capacity === undefined || node.status?.allocatable !== undefined) return node;
  return { ...node, status: { ...node.status, allocatable: capacity } };
}

export function defaultEvent(event: Event): Event {
  return { ...event, involvedObject: event.involvedObject ?? {} };
}
