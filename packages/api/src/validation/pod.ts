import { isIP } from "node:net";
import { dns1123LabelProblems, dns1123SubdomainProblems } from "../names.ts";
import { sizePod } from "../sizing.ts";
import type { Pod, PodSecurityContext, PodSpec } from "../types/pod.ts";
import type { StatusCause } from "../types/status.ts";
import { validateContainers, validateIds, validateSeccomp } from "./container.ts";
import { validateReferenceName } from "./env.ts";
import { invalidValue, notSupported, problems, required } from "./field-error.ts";
import { validatePodAnnotations } from "./pod-annotations.ts";
import { validatePodUpdate } from "./pod-update.ts";
import { validateScheduling } from "./scheduling.ts";
import { refuseUnsupported, supported } from "./unsupported.ts";
import { validateVolumes } from "./volume.ts";

const restartPolicies = ["Always", "Never", "OnFailure"];
const dnsPolicies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const maxDeadlineSeconds = 2 ** 31 - 1;

/** The spec as kube-apiserver checks it (1.35), what Isopod does not run yet, and the size. */
export function validatePod(pod: Pod, old: Pod | undefined): readonly StatusCause[] {
  const causes = [...validatePodAnnotations(pod, old), ...validatePodSpec(pod.spec, "spec")];
  if (old !== undefined) return [...causes, ...validatePodUpdate(pod.spec, old.spec)];
  // Sizing blames the whole pod: said only when nothing else is wrong with it.
  return causes.length > 0 ? causes : sizePod(pod.spec).causes;
}

/** `path` is where the spec stands: `spec`, or `spec.template.spec` of a controller. */
export function validatePodSpec(spec: PodSpec, path: string): readonly StatusCause[] {
  const names = new Set<string>();
  const volumes = spec.volumes ?? [];
  const causes = [
    ...refuseUnsupported(spec, supported.podSpec, path),
    ...validateVolumes(volumes, `${path}.volumes`),
    ...(spec.containers.length === 0 ? [required(`${path}.containers`)] : []),
    ...validateContainers(spec.containers, "app", volumes, names, `${path}.containers`),
    ...validateContainers(spec.initContainers ?? [], "init", volumes, names, `${path}.initContainers`),
    ...validateScheduling(spec, path),
    ...validateSecurityContext(spec.securityContext, `${path}.securityContext`),
    ...validateDns(spec, path),
    ...validateSpecNames(spec, path),
  ];
  const {
    restartPolicy,
    terminationGracePeriodSeconds: graceSeconds,
    activeDeadlineSeconds: deadlineSeconds,
    os,
  } = spec;
  if (restartPolicy !== undefined && !restartPolicies.includes(restartPolicy)) {
    causes.push(notSupported(`${path}.restartPolicy`, restartPolicy, restartPolicies));
  }
  if (graceSeconds !== undefined && graceSeconds < 0) {
    const field = `${path}.terminationGracePeriodSeconds`;
    causes.push(invalidValue(field, graceSeconds, "must be greater than or equal to 0"));
  }
  if (deadlineSeconds !== undefined && !(deadlineSeconds >= 1 && deadlineSeconds <= maxDeadlineSeconds)) {
    const detail = `must be between 1 and ${maxDeadlineSeconds}, inclusive`;
    causes.push(invalidValue(`${path}.activeDeadlineSeconds`, deadlineSeconds, detail));
  }
  if (os !== undefined && os.name !== "linux") causes.push(notSupported(`${path}.os.name`, os.name, ["linux"]));
  return causes;
}

function validateSecurityContext(context: PodSecurityContext | undefined, path: string): readonly StatusCause[] {
  if (context === undefined) return [];
  return [
    ...refuseUnsupported(context, supported.podSecurityContext, path),
    ...validateIds(context, path),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
  ];
}

function validateDns(spec: PodSpec, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  const { dnsPolicy, dnsConfig } = spec;
  const nameservers = dnsConfig?.nameservers ?? [];
  if (dnsPolicy !== undefined && !dnsPolicies.includes(dnsPolicy)) {
    causes.push(notSupported(`${path}.dnsPolicy`, dnsPolicy, dnsPolicies));
  }
  if (dnsPolicy === "None" && nameservers.length === 0) {
    causes.push(
      required(`${path}.dnsConfig.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is "None"'),
    );
  }
  nameservers.forEach((address, index) => {
    if (isIP(address) === 0) {
      const detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
      causes.push(invalidValue(`${path}.dnsConfig.nameservers[${index}]`, address, detail));
    }
  });
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const at = `${path}.hostAliases[${index}]`;
    if (isIP(alias.ip ?? "") === 0) {
      causes.push(
        invalidValue(`${at}.ip`, alias.ip ?? "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
      );
    }
    for (const name of alias.hostnames ?? [])
      causes.push(...problems(`${at}.hostnames`, name, dns1123SubdomainProblems(name)));
  }
  return causes;
}

function validateSpecNames(spec: PodSpec, path: string): readonly StatusCause[] {
  const { serviceAccountName = "", nodeName = "", hostname = "" } = spec;
  return [
    ...(serviceAccountName === ""
      ? []
      : problems(`${path}.serviceAccountName`, serviceAccountName, dns1123SubdomainProblems(serviceAccountName))),
    ...(nodeName === "" ? [] : problems(`${path}.nodeName`, nodeName, dns1123SubdomainProblems(nodeName))),
    ...(hostname === "" ? [] : problems(`${path}.hostname`, hostname, dns1123LabelProblems(hostname))),
    ...(spec.imagePullSecrets ?? []).flatMap((secret, index) =>
      validateReferenceName(secret.name, `${path}.imagePullSecrets[${index}].name`),
    ),
  ];
}
