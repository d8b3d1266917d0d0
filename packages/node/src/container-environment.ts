import {
  type ConfigMap,
  type Container,
  type EnvVarSource,
  type Pod,
  parseQuantity,
  quantityToBytes,
  quantityToMilli,
  type Secret,
} from "@isopod/api";
import { configError } from "./node-error.ts";

/** What references in a pod resolve against; `undefined` = not there. */
export interface PodSources {
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
  readonly podIP: string;
  readonly hostIP: string;
  /** The size sold: what `limits.cpu` and `limits.memory` are when the container has none. */
  readonly size: { readonly cpuMilli: number; readonly memoryMiB: number };
}

const variableReference = /\$\$|\$\(([^)]*)\)/g;

/**
 * Kubernetes's expansion: `$(NAME)` of a known variable is replaced, of an unknown one stays, `$$` is one dollar.
 */
export function expandVariables(text: string, known: ReadonlyMap<string, string>): string {
  return text.replace(variableReference, (match, name: string | undefined) => {
    if (match === "$$") return "$";
    return known.get(name ?? "") ?? match;
  });
}

/** An image's variables (`NAME=value` lines) with the container's own over them. */
export function withImageVariables(lines: readonly string[], own: ReadonlyMap<string, string>): Map<string, string> {
  const variables = new Map<string, string>();
  for (const line of lines) {
    const equals = line.indexOf("=");
    if (equals > 0) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  for (const [name, value] of own) variables.set(name, value);
  return variables;
}

/** The container's own variables, in order, as a map: `envFrom` first, then `env`, later ones winning. */
export function containerEnvironment(pod: Pod, container: Container, sources: PodSources): Map<string, string> {
  const variables = new Map<string, string>();
  for (const from of container.envFrom ?? []) {
    const data = envFromData(pod, from, sources);
    for (const [key, value] of Object.entries(data)) variables.set(`${from.prefix ?? ""}${key}`, value);
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) variables.set(name, expandVariables(value ?? "", variables));
    else {
      const resolved = resolveSource(pod, container, name, valueFrom, sources);
      if (resolved !== undefined) variables.set(name, resolved);
    }
  }
  return variables;
}

function envFromData(
  pod: Pod,
  from: NonNullable<Container["envFrom"]>[number],
  sources: PodSources,
): Readonly<Record<string, string>> {
  const { configMapRef, secretRef } = from;
  if (configMapRef !== undefined) {
    const found = sources.configMap(configMapRef.name);
    if (found === undefined && configMapRef.optional !== true) throw missing(pod, "configmap", configMapRef.name);
    return found?.data ?? {};
  }
  if (secretRef !== undefined) {
    const found = sources.secret(secretRef.name);
    if (found === undefined && secretRef.optional !== true) throw missing(pod, "secret", secretRef.name);
    return Object.fromEntries(Object.entries(found?.data ?? {}).map(([key, value]) => [key, decodeBase64(value)]));
  }
  return {};
}

function resolveSource(
  pod: Pod,
  container: Container,
  variable: string,
  source: EnvVarSource,
  sources: PodSources,
): string | undefined {
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = source;
  if (configMapKeyRef !== undefined) {
    const value = sources.configMap(configMapKeyRef.name)?.data?.[configMapKeyRef.key];
    if (value !== undefined || configMapKeyRef.optional === true) return value;
    throw configError(
      `couldn't find key ${configMapKeyRef.key} in ConfigMap ${pod.metadata.namespace}/${configMapKeyRef.name} for variable ${variable}`,
      configMapKeyRef.name,
    );
  }
  if (secretKeyRef !== undefined) {
    const value = sources.secret(secretKeyRef.name)?.data?.[secretKeyRef.key];
    if (value !== undefined) return decodeBase64(value);
    if (secretKeyRef.optional === true) return undefined;
    throw configError(
      `couldn't find key ${secretKeyRef.key} in Secret ${pod.metadata.namespace}/${secretKeyRef.name} for variable ${variable}`,
      secretKeyRef.name,
    );
  }
  if (fieldRef !== undefined) return fieldValue(pod, fieldRef.fieldPath, sources);
  if (resourceFieldRef !== undefined) {
    const of = resourceFieldRef.containerName;
    const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    const target = of === undefined || of === "" ? container : (all.find((one) => one.name === of) ?? container);
    return resourceValue(target, resourceFieldRef.resource, resourceFieldRef.divisor ?? "1", sources);
  }
  return undefined;
}

/** The downward API's fields. Throws for a path Kubernetes does not offer as a variable. */
export function fieldValue(pod: Pod, path: string, sources: PodSources): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? metadata.labels : metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return metadata.name;
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "spec.nodeName":
      return spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "default";
    case "status.podIP":
    case "status.podIPs":
      return sources.podIP;
    case "status.hostIP":
    case "status.hostIPs":
      return sources.hostIP;
    default:
      throw configError(`fieldRef.fieldPath ${path} is not one a variable can have`, path);
  }
}

function resourceValue(container: Container, resource: string, divisor: string, sources: PodSources): string {
  const match = /^(limits|requests)\.(cpu|memory|ephemeral-storage)$/.exec(resource);
  if (match === null) throw configError(`resourceFieldRef.resource ${resource} is not known`, resource);
  const name = match[2] ?? "";
  const lists = container.resources ?? {};
  const given = match[1] === "limits" ? lists.limits?.[name] : (lists.requests?.[name] ?? lists.limits?.[name]);
  if (name === "cpu") {
    const milli = given === undefined ? sources.size.cpuMilli : quantityToMilli(parseQuantity(given));
    return String(Math.ceil(milli / quantityToMilli(parseQuantity(divisor === "0" ? "1" : divisor))));
  }
  const bytes = given === undefined ? sources.size.memoryMiB * 1024 * 1024 : quantityToBytes(parseQuantity(given));
  return String(Math.ceil(bytes / quantityToBytes(parseQuantity(divisor === "0" ? "1" : divisor))));
}

function missing(pod: Pod, kind: string, name: string): Error {
  return configError(`${kind} "${name}" not found in namespace ${pod.metadata.namespace}`, name);
}

function decodeBase64(text: string): string {
  return Buffer.from(text, "base64").toString("utf8");
}
