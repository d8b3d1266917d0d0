import type { Container, ContainerPort, EnvVar, ResourceRequirements } from "../types/container.ts";

/** What kube-apiserver fills in for a container of a pod (1.35). */
export function defaultContainer(container: Container): Container {
  const { ports, env } = container;
  return {
    ...container,
    resources: defaultResources(container.resources ?? {}),
    terminationMessagePath: container.terminationMessagePath || "/dev/termination-log",
    terminationMessagePolicy: container.terminationMessagePolicy ?? "File",
    imagePullPolicy: container.imagePullPolicy ?? pullPolicyOf(container.image ?? ""),
    ...(ports === undefined ? {} : { ports: ports.map(defaultPort) }),
    ...(env === undefined ? {} : { env: env.map(defaultEnv) }),
  };
}

/** A limit alone is also the request. */
function defaultResources(resources: ResourceRequirements): ResourceRequirements {
  if (resources.limits === undefined) return resources;
  return { ...resources, requests: { ...resources.limits, ...resources.requests } };
}

/** `latest`, said or not, may be another image tomorrow. */
function pullPolicyOf(image: string): "Always" | "IfNotPresent" {
  const [name = "", digest] = image.split("@");
  const lastPart = name.slice(name.lastIndexOf("/") + 1);
  const colon = lastPart.indexOf(":");
  if (colon === -1) return digest === undefined ? "Always" : "IfNotPresent";
  return lastPart.slice(colon + 1) === "latest" ? "Always" : "IfNotPresent";
}

function defaultPort(port: ContainerPort): ContainerPort {
  return port.protocol === undefined ? { ...port, protocol: "TCP" } : port;
}

function defaultEnv(variable: EnvVar): EnvVar {
  const fieldRef = variable.valueFrom?.fieldRef;
  if (fieldRef === undefined || fieldRef.apiVersion !== undefined) return variable;
  return { ...variable, valueFrom: { ...variable.valueFrom, fieldRef: { apiVersion: "v1", ...fieldRef } } };
}
