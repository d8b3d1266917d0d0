import type { ResourceDefinition } from "../kinds/definition.ts";
import { dns1123LabelProblems, labelValueProblems, qualifiedNameProblems } from "../names.ts";
import type { ObjectMeta, OwnerReference, StringMap } from "../types/meta.ts";
import type { StatusCause } from "../types/status.ts";
import { forbiddenField, invalidValue, problems, required, tooLong } from "./field-error.ts";
import { isSameJson } from "./same-json.ts";

const maxAnnotationBytes = 256 * 1024;

export function validateObjectMeta(definition: ResourceDefinition, metadata: ObjectMeta): readonly StatusCause[] {
  return [
    ...validateName(definition, metadata.name),
    ...validateNamespace(definition, metadata.namespace ?? ""),
    ...validateLabels(metadata.labels ?? {}, "metadata.labels"),
    ...validateAnnotations(metadata.annotations ?? {}),
    ...validateOwners(metadata.ownerReferences ?? []),
    ...(metadata.finalizers ?? []).flatMap((finalizer) => {
      return problems("metadata.finalizers", finalizer, qualifiedNameProblems(finalizer));
    }),
  ];
}

export function validateObjectMetaUpdate(metadata: ObjectMeta, old: ObjectMeta): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  for (const field of ["name", "namespace", "uid"] as const) {
    if (!isSameJson(metadata[field], old[field])) {
      causes.push(invalidValue(`metadata.${field}`, metadata[field] ?? "", "field is immutable"));
    }
  }
  const added = (metadata.finalizers ?? []).filter((finalizer) => old.finalizers?.includes(finalizer) !== true);
  if (old.deletionTimestamp !== undefined && added.length > 0) {
    const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
    const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
    causes.push(forbiddenField("metadata.finalizers", detail));
  }
  return causes;
}

export function validateLabels(labels: StringMap, field: string): readonly StatusCause[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...problems(field, key, qualifiedNameProblems(key)),
    ...problems(field, value, labelValueProblems(value)),
  ]);
}

function validateName(definition: ResourceDefinition, name: string | undefined): readonly StatusCause[] {
  if (name === undefined || name === "") return [required("metadata.name", "name or generateName is required")];
  return problems("metadata.name", name, definition.nameProblems(name));
}

function validateNamespace(definition: ResourceDefinition, namespace: string): readonly StatusCause[] {
  const field = "metadata.namespace";
  if (!definition.namespaced) {
    return namespace === "" ? [] : [forbiddenField(field, "not allowed on this type")];
  }
  if (namespace === "") return [required(field)];
  return problems(field, namespace, dns1123LabelProblems(namespace));
}

function validateAnnotations(annotations: StringMap): readonly StatusCause[] {
  const field = "metadata.annotations";
  let totalBytes = 0;
  const causes = Object.entries(annotations).flatMap(([key, value]) => {
    totalBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    // Annotation keys may have capitals where label keys may not.
    return problems(field, key, qualifiedNameProblems(key.toLowerCase()));
  });
  return totalBytes > maxAnnotationBytes ? [...causes, tooLong(field, maxAnnotationBytes)] : causes;
}

function validateOwners(owners: readonly OwnerReference[]): readonly StatusCause[] {
  const field = "metadata.ownerReferences";
  const causes = owners.flatMap((owner, index) => {
    return (["apiVersion", "kind", "name", "uid"] as const)
      .filter((key) => (owner[key] ?? "") === "")
      .map((key) => {
        const detail = key === "apiVersion" ? "version must not be empty" : "must not be empty";
        return invalidValue(`${field}[${index}].${key}`, "", detail);
      });
  });
  const controllers = owners.filter((owner) => owner.controller === true);
  if (controllers.length < 2) return causes;
  const names = controllers.map((owner) => `${owner.kind}/${owner.name}`).join(" and ");
  const detail = `Only one reference can have Controller set to true. Found "true" in references for ${names}`;
  return [...causes, invalidValue(field, owners, detail)];
}
