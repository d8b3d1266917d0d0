import { applyDefaults, isAlreadyExists, type Namespace, resources } from "@isopod/api";
import { newNamespace } from "./admission/namespace-lifecycle.ts";
import type { ObjectStore } from "./objects/object-store.ts";
import { prepareCreate } from "./verbs/prepare-create.ts";

/** What every cluster begins with. */
const defaultNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"] as const;

/** Makes the objects clients take for granted, where they are missing. */
export async function createDefaultObjects(objects: ObjectStore): Promise<void> {
  for (const name of defaultNamespaces) {
    const body: Namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    const prepared = prepareCreate(resources.namespaces, body, "", objects.clock.nowMs());
    const namespace = newNamespace({ ...body, metadata: prepared.metadata });
    try {
      await objects.create(resources.namespaces, applyDefaults(resources.namespaces, namespace));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}
