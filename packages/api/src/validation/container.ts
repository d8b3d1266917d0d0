import { dns1123LabelProblems } from "../names.ts";
import type { Container, ContainerPort, SeccompProfile, SecurityContext } from "../types/container.ts";
import type { StatusCause } from "../types/status.ts";
import type { Volume } from "../types/volume.ts";
import { validateEnv, validateEnvFrom } from "./env.ts";
import { duplicate, invalidValue, notSupported, problems, required } from "./field-error.ts";
import { validateResources } from "./resources.ts";
import { refuseUnsupported, supported, unsupported } from "./unsupported.ts";
import { validateVolumeMounts } from "./volume.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];
const messagePolicies = ["FallbackToLogsOnError", "File"];
const protocols = ["SCTP", "TCP", "UDP"];
const portName = /^(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/;
const portNameDetail =
  "must contain at most 15 lower case alphanumeric characters or '-', at least one letter, and must not start or end with '-' or contain '--'";
const maxId = 2 ** 31 - 1;

/** `kind` says where the container stands; names are unique over both lists. */
export function validateContainers(
  containers: readonly Container[],
  kind: "app" | "init",
  volumes: readonly Volume[],
  names: Set<string>,
  path: string,
): readonly StatusCause[] {
  return containers.flatMap((container, index) => {
    const at = `${path}[${index}]`;
    const name = container.name ?? "";
    const causes = [...validateContainer(container, volumes, at), ...validateRestartPolicy(container, kind, at)];
    if (name === "") causes.push(required(`${at}.name`));
    else causes.push(...problems(`${at}.name`, name, dns1123LabelProblems(name)));
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    return causes;
  });
}

function validateContainer(container: Container, volumes: readonly Volume[], path: string): readonly StatusCause[] {
  const causes = [...refuseUnsupported(container, supported.container, path)];
  const { image = "", imagePullPolicy, terminationMessagePolicy, resources = {} } = container;
  if (image === "") causes.push(required(`${path}.image`));
  else if (image.trim() !== image) {
    causes.push(invalidValue(`${path}.image`, image, "must not have leading or trailing whitespace"));
  }
  if (imagePullPolicy !== undefined && !pullPolicies.includes(imagePullPolicy)) {
    causes.push(notSupported(`${path}.imagePullPolicy`, imagePullPolicy, pullPolicies));
  }
  if (terminationMessagePolicy !== undefined && !messagePolicies.includes(terminationMessagePolicy)) {
    causes.push(notSupported(`${path}.terminationMessagePolicy`, terminationMessagePolicy, messagePolicies));
  }
  causes.push(
    ...validatePorts(container.ports ?? [], `${path}.ports`),
    ...validateEnv(container.env ?? [], `${path}.env`),
    ...validateEnvFrom(container.envFrom ?? [], `${path}.envFrom`),
    ...refuseUnsupported(resources, supported.resources, `${path}.resources`),
    ...validateResources(resources, `${path}.resources`),
    ...validateVolumeMounts(container.volumeMounts ?? [], volumes, `${path}.volumeMounts`),
    ...validateSecurityContext(container.securityContext, `${path}.securityContext`),
  );
  return causes;
}

function validateRestartPolicy(container: Container, kind: "app" | "init", path: string): readonly StatusCause[] {
  const { restartPolicy } = container;
  if (restartPolicy === undefined) return [];
  if (kind === "app") return [unsupported(`${path}.restartPolicy`)];
  return restartPolicy === "Always" ? [] : [notSupported(`${path}.restartPolicy`, restartPolicy, ["Always"])];
}

function validatePorts(ports: readonly ContainerPort[], path: string): readonly StatusCause[] {
  const names = new Set<string>();
  return ports.flatMap((port, index) => {
    const at = `${path}[${index}]`;
    const causes = [...refuseUnsupported(port, supported.port, at)];
    const { name = "", containerPort = 0, protocol = "TCP" } = port;
    if (name !== "" && !portName.test(name)) causes.push(invalidValue(`${at}.name`, name, portNameDetail));
    if (name !== "" && names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (containerPort === 0) causes.push(required(`${at}.containerPort`));
    else if (!(containerPort > 0 && containerPort < 65_536)) {
      causes.push(invalidValue(`${at}.containerPort`, containerPort, "must be between 1 and 65535, inclusive"));
    }
    if (!protocols.includes(protocol)) causes.push(notSupported(`${at}.protocol`, protocol, protocols));
    return causes;
  });
}

function validateSecurityContext(context: SecurityContext | undefined, path: string): readonly StatusCause[] {
  if (context === undefined) return [];
  return [
    ...refuseUnsupported(context, supported.containerSecurityContext, path),
    ...validateIds(context, path),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
  ];
}

/** User and group ids, of a pod's or a container's security context. */
export function validateIds(
  context: { readonly runAsUser?: number; readonly runAsGroup?: number; readonly fsGroup?: number },
  path: string,
): readonly StatusCause[] {
  return (["runAsUser", "runAsGroup", "fsGroup"] as const).flatMap((key) => {
    const id = context[key];
    if (id === undefined || (Number.isInteger(id) && id >= 0 && id <= maxId)) return [];
    return [invalidValue(`${path}.${key}`, id, `must be between 0 and ${maxId}, inclusive`)];
  });
}

export function validateSeccomp(profile: SeccompProfile | undefined, path: string): readonly StatusCause[] {
  if (profile === undefined || profile.type === "RuntimeDefault" || profile.type === "Unconfined") return [];
  if (profile.type === "Localhost") return [unsupported(`${path}.localhostProfile`)];
  return [notSupported(`${path}.type`, profile.type, ["Localhost", "RuntimeDefault", "Unconfined"])];
}
