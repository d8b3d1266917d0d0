import { configKeyProblems, dns1123SubdomainProblems, envVarNameProblems, qualifiedNameProblems } from "../names.ts";
import type { EnvFromSource, EnvVar, EnvVarSource, KeySelector } from "../types/container.ts";
import type { StatusCause } from "../types/status.ts";
import { invalidValue, notSupported, problems, required } from "./field-error.ts";
import { refuseUnsupported, supported } from "./unsupported.ts";

const fieldPaths = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
const resourcePaths = ["limits", "requests"].flatMap((list) => {
  return ["cpu", "ephemeral-storage", "memory"].map((resource) => `${list}.${resource}`);
});
const subscripted = /^metadata\.(annotations|labels)\['(.*)'\]$/;

export function validateEnv(variables: readonly EnvVar[], path: string): readonly StatusCause[] {
  return variables.flatMap((variable, index) => {
    const at = `${path}[${index}]`;
    const name = variable.name ?? "";
    const nameCauses = name === "" ? [required(`${at}.name`)] : problems(`${at}.name`, name, envVarNameProblems(name));
    if (variable.valueFrom === undefined) return nameCauses;
    return [...nameCauses, ...validateSource(variable.valueFrom, variable.value ?? "", `${at}.valueFrom`)];
  });
}

export function validateEnvFrom(sources: readonly EnvFromSource[], path: string): readonly StatusCause[] {
  return sources.flatMap((source, index) => {
    const at = `${path}[${index}]`;
    const causes: StatusCause[] = [];
    if (source.prefix !== undefined && source.prefix !== "") {
      causes.push(...problems(`${at}.prefix`, source.prefix, envVarNameProblems(source.prefix)));
    }
    const given = [source.configMapRef, source.secretRef].filter((reference) => reference !== undefined);
    if (given.length === 0) causes.push(invalidValue(at, "", "must specify one of: `configMapRef` or `secretRef`"));
    else if (given.length > 1)
      causes.push(invalidValue(at, "", "may not have more than one field specified at a time"));
    for (const key of ["configMapRef", "secretRef"] as const) {
      const reference = source[key];
      if (reference !== undefined) causes.push(...validateReferenceName(reference.name, `${at}.${key}.name`));
    }
    return causes;
  });
}

/** The name of a ConfigMap or Secret in the pod's namespace. */
export function validateReferenceName(name: string | undefined, field: string): readonly StatusCause[] {
  if (name === undefined || name === "") return [required(field)];
  return problems(field, name, dns1123SubdomainProblems(name));
}

function validateSource(source: EnvVarSource, value: string, path: string): readonly StatusCause[] {
  const causes = [...refuseUnsupported(source, supported.envVarSource, path)];
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  const given = Object.values(source).filter((member) => member !== undefined).length;
  if (fieldRef !== undefined) causes.push(...validateFieldPath(fieldRef.fieldPath ?? "", `${path}.fieldRef`));
  if (resourceFieldRef !== undefined && !resourcePaths.includes(resourceFieldRef.resource)) {
    causes.push(notSupported(`${path}.resourceFieldRef.resource`, resourceFieldRef.resource, resourcePaths));
  }
  if (configMapKeyRef !== undefined) causes.push(...validateKey(configMapKeyRef, `${path}.configMapKeyRef`));
  if (secretKeyRef !== undefined) causes.push(...validateKey(secretKeyRef, `${path}.secretKeyRef`));
  if (given === 0) {
    const detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
    causes.push(invalidValue(path, "", detail));
  } else if (value !== "") causes.push(invalidValue(path, "", "may not be specified when `value` is not empty"));
  else if (given > 1) causes.push(invalidValue(path, "", "may not have more than one field specified at a time"));
  return causes;
}

function validateFieldPath(fieldPath: string, path: string): readonly StatusCause[] {
  if (fieldPath === "") return [required(`${path}.fieldPath`)];
  const subscript = subscripted.exec(fieldPath)?.[2];
  if (subscript !== undefined) return problems(path, subscript, qualifiedNameProblems(subscript.toLowerCase()));
  if (fieldPaths.includes(fieldPath)) return [];
  return [notSupported(`${path}.fieldPath`, fieldPath, fieldPaths)];
}

function validateKey(selector: KeySelector, path: string): readonly StatusCause[] {
  const key = selector.key ?? "";
  return [
    ...validateReferenceName(selector.name, `${path}.name`),
    ...(key === "" ? [required(`${path}.key`)] : problems(`${path}.key`, key, configKeyProblems(key))),
  ];
}
