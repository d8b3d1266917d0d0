import { forbidden, type Namespace, notFound, type ResourceDefinition, resources } from "@isopod/api";
import type { ObjectStore } from "../objects/object-store.ts";

/** Namespaces that the installation itself lives in. */
const immortal = new Set(["default", "kube-system", "kube-public"]);

/** A namespaced object is only created in a namespace that exists and is not being emptied. */
export async function checkNamespaceForCreate(
  objects: ObjectStore,
  definition: ResourceDefinition,
  namespace: string,
  name: string,
): Promise<void> {
  if (!definition.namespaced) return;
  const found = await objects.find(resources.namespaces, { namespace: "", name: namespace });
  if (found === undefined) throw notFound(resources.namespaces, namespace);
  // Deleted but not emptied yet: whatever were created now might be overlooked.
  if (found.object.metadata.deletionTimestamp === undefined) return;
  throw forbidden(
    definition,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
    [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  );
}

export function checkNamespaceForDelete(namespace: string): void {
  if (immortal.has(namespace)) throw forbidden(resources.namespaces, namespace, "this namespace may not be deleted");
}

/** What a new namespace begins with: it is emptied before it goes. */
export function newNamespace(namespace: Namespace): Namespace {
  const finalizers = namespace.spec?.finalizers ?? [];
  return {
    ...namespace,
    metadata: {
      ...namespace.metadata,
      labels: { ...namespace.metadata.labels, "kubernetes.io/metadata.name": namespace.metadata.name },
    },
    spec: { finalizers: finalizers.includes("kubernetes") ? finalizers : [...finalizers, "kubernetes"] },
    status: { phase: "Active" },
  };
}
