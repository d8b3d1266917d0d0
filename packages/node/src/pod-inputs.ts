import {
  type ConfigMap,
  isNotFound,
  type KubeObject,
  type Pod,
  type ResourceDefinition,
  resources,
  type Secret,
} from "@isopod/api";
import type { KubeClient } from "@isopod/client";
import type { RegistryCredentials } from "@isopod/image";
import type { PodSources } from "./container-environment.ts";

function allContainers(pod: Pod): Pod["spec"]["containers"] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}

function configMapNames(pod: Pod): Set<string> {
  const names = new Set<string>();
  for (const container of allContainers(pod)) {
    for (const from of container.envFrom ?? []) if (from.configMapRef !== undefined) names.add(from.configMapRef.name);
    for (const { valueFrom } of container.env ?? []) {
      if (valueFrom?.configMapKeyRef !== undefined) names.add(valueFrom.configMapKeyRef.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) if (volume.configMap !== undefined) names.add(volume.configMap.name);
  return names;
}

function secretNames(pod: Pod): Set<string> {
  const names = new Set<string>();
  for (const container of allContainers(pod)) {
    for (const from of container.envFrom ?? []) if (from.secretRef !== undefined) names.add(from.secretRef.name);
    for (const { valueFrom } of container.env ?? []) {
      if (valueFrom?.secretKeyRef !== undefined) names.add(valueFrom.secretKeyRef.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) if (volume.secret !== undefined) names.add(volume.secret.secretName);
  return names;
}

async function fetchAll<T extends KubeObject>(
  client: KubeClient,
  resource: ResourceDefinition<T>,
  pod: Pod,
  names: Iterable<string>,
  signal: AbortSignal,
): Promise<Map<string, T>> {
  const found = new Map<string, T>();
  const fetchOne = async (name: string): Promise<void> => {
    try {
      found.set(name, await client.get(resource, pod.metadata.namespace, name, { signal }));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  };
  await Promise.all([...names].map(fetchOne));
  return found;
}

/** Fetches the config maps and secrets the pod names, and no others. */
export async function fetchReferences(
  client: KubeClient,
  pod: Pod,
  signal: AbortSignal,
): Promise<Pick<PodSources, "configMap" | "secret">> {
  const [configMaps, secrets] = await Promise.all([
    fetchAll<ConfigMap>(client, resources.configmaps, pod, configMapNames(pod), signal),
    fetchAll<Secret>(client, resources.secrets, pod, secretNames(pod), signal),
  ]);
  return { configMap: (name) => configMaps.get(name), secret: (name) => secrets.get(name) };
}

/** Credentials for an image's registry from the pod's `imagePullSecrets`; the first that fits. */
export async function pullCredentials(
  client: KubeClient,
  pod: Pod,
  reference: string,
  signal: AbortSignal,
): Promise<RegistryCredentials | undefined> {
  const names = (pod.spec.imagePullSecrets ?? []).map((one) => one.name);
  if (names.length === 0) return undefined;
  const secrets = await fetchAll<Secret>(client, resources.secrets, pod, names, signal);
  for (const name of names) {
    const found = credentialsIn(secrets.get(name), reference);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Reads a `kubernetes.io/dockerconfigjson` secret. A key is a registry host, or host and path prefix. */
export function credentialsIn(secret: Secret | undefined, reference: string): RegistryCredentials | undefined {
  const encoded = secret?.data?.[".dockerconfigjson"];
  if (encoded === undefined) return undefined;
  let auths: unknown;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
    auths = member(parsed, "auths");
  } catch {
    return undefined;
  }
  if (typeof auths !== "object" || auths === null) return undefined;
  for (const [key, entry] of Object.entries(auths)) {
    const host = key.replace(/^https?:\/\//, "").replace(/\/(v[12]\/?)?$/, "");
    const isDockerHub = host === "index.docker.io" || host === "docker.io";
    const isMatch = isDockerHub
      ? !/^[^/]*[.:][^/]*\//.test(reference) || reference.startsWith("docker.io/")
      : reference === host || reference.startsWith(`${host}/`);
    if (!isMatch) continue;
    const auth = member(entry, "auth");
    if (typeof auth === "string") {
      const [username = "", ...password] = Buffer.from(auth, "base64").toString("utf8").split(":");
      return { username, password: password.join(":") };
    }
    const [username, password] = [member(entry, "username"), member(entry, "password")];
    if (typeof username === "string" && typeof password === "string") return { username, password };
  }
  return undefined;
}

function member(holder: unknown, key: string): unknown {
  return typeof holder === "object" && holder !== null ? Reflect.get(holder, key) : undefined;
}
