import type { StatusCause } from "../types/status.ts";
import { forbiddenField } from "./field-error.ts";

/**
 * What Isopod runs, field by field. Every other field of these structures that says something is refused: a workload
 * that would behave differently from what its author wrote must not start.
 */
const podSpec = new Set([
  "activeDeadlineSeconds",
  "affinity",
  "automountServiceAccountToken",
  "containers",
  "dnsConfig",
  "dnsPolicy",
  "enableServiceLinks",
  "hostAliases",
  "hostname",
  "imagePullSecrets",
  "initContainers",
  "nodeName",
  "nodeSelector",
  "os",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "restartPolicy",
  "schedulerName",
  "schedulingGates",
  "securityContext",
  "serviceAccount",
  "serviceAccountName",
  "terminationGracePeriodSeconds",
  "tolerations",
  "volumes",
]);

const podSecurityContext = new Set([
  "fsGroup",
  "fsGroupChangePolicy",
  "runAsGroup",
  "runAsNonRoot",
  "runAsUser",
  "seccompProfile",
  "supplementalGroups",
]);

const affinity = new Set(["nodeAffinity"]);

const container = new Set([
  "args",
  "command",
  "env",
  "envFrom",
  "image",
  "imagePullPolicy",
  "name",
  "ports",
  "resources",
  "restartPolicy",
  "securityContext",
  "stdin",
  "stdinOnce",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "tty",
  "volumeMounts",
  "workingDir",
]);

const containerSecurityContext = new Set([
  "allowPrivilegeEscalation",
  "capabilities",
  "readOnlyRootFilesystem",
  "runAsGroup",
  "runAsNonRoot",
  "runAsUser",
  "seccompProfile",
]);

const port = new Set(["containerPort", "name", "protocol"]);
const resources = new Set(["limits", "requests"]);
const envVarSource = new Set(["configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"]);
const volume = new Set(["configMap", "emptyDir", "name", "secret"]);
const volumeMount = new Set(["mountPath", "name", "readOnly", "subPath", "subPathExpr"]);

export const supported = {
  affinity,
  container,
  containerSecurityContext,
  envVarSource,
  podSecurityContext,
  podSpec,
  port,
  resources,
  volume,
  volumeMount,
} as const;

/** Values that say what happens anyway. */
const harmless: Readonly<Record<string, unknown>> = {
  hostUsers: true,
  mountPropagation: "None",
  procMount: "Default",
  recursiveReadOnly: "Disabled",
  fsGroupChangePolicy: "Always",
  supplementalGroupsPolicy: "Merge",
  seLinuxChangePolicy: "Recursive",
};

/** A cause for each member outside the set that says something. `path` without a trailing dot. */
export function refuseUnsupported(
  value: object | undefined,
  set: ReadonlySet<string>,
  path: string,
): readonly StatusCause[] {
  if (value === undefined) return [];
  const causes: StatusCause[] = [];
  for (const [key, member] of Object.entries(value)) {
    if (set.has(key) || harmless[key] === member || saysNothing(key, member)) continue;
    causes.push(unsupported(`${path}.${key}`));
  }
  return causes;
}

export function unsupported(field: string): StatusCause {
  return forbiddenField(field, "not supported by Isopod yet");
}

/** `hostUsers: false` asks for a user namespace; `{}` is a probe or a volume with its defaults. */
function saysNothing(key: string, member: unknown): boolean {
  if (key === "hostUsers") return false;
  if (Array.isArray(member)) return member.length === 0;
  return member === undefined || member === null || member === false || member === 0 || member === "";
}
