import { dns1123LabelProblems } from "../names.ts";
import type { VolumeMount } from "../types/container.ts";
import type { StatusCause } from "../types/status.ts";
import type { ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, Volume } from "../types/volume.ts";
import { validateReferenceName } from "./env.ts";
import { duplicate, forbiddenField, invalidValue, missing, notSupported, problems, required } from "./field-error.ts";
import { readQuantity } from "./resources.ts";
import { refuseUnsupported, supported } from "./unsupported.ts";

const modeDetail = "must be a number between 0 and 0777 (octal), both inclusive";

export function validateVolumes(volumes: readonly Volume[], path: string): readonly StatusCause[] {
  const names = new Set<string>();
  return volumes.flatMap((volume, index) => {
    const at = `${path}[${index}]`;
    const causes = [...refuseUnsupported(volume, supported.volume, at), ...validateSource(volume, at)];
    const name = volume.name ?? "";
    if (name === "") causes.push(required(`${at}.name`));
    else causes.push(...problems(`${at}.name`, name, dns1123LabelProblems(name)));
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    return causes;
  });
}

export function validateVolumeMounts(
  mounts: readonly VolumeMount[],
  volumes: readonly Volume[],
  path: string,
): readonly StatusCause[] {
  const mountPaths = new Set<string>();
  return mounts.flatMap((mount, index) => {
    const at = `${path}[${index}]`;
    const causes = [...refuseUnsupported(mount, supported.volumeMount, at)];
    const { name = "", mountPath = "", subPath = "", subPathExpr = "" } = mount;
    if (name === "") causes.push(required(`${at}.name`));
    if (!volumes.some((volume) => volume.name === name)) causes.push(missing(`${at}.name`, name));
    if (mountPath === "") causes.push(required(`${at}.mountPath`));
    if (mountPaths.has(mountPath)) causes.push(invalidValue(`${at}.mountPath`, mountPath, "must be unique"));
    mountPaths.add(mountPath);
    causes.push(
      ...validateRelativePath(subPath, `${at}.subPath`),
      ...validateRelativePath(subPathExpr, `${at}.subPathExpr`),
    );
    if (subPath !== "" && subPathExpr !== "") {
      causes.push(invalidValue(`${at}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"));
    }
    return causes;
  });
}

function validateSource(volume: Volume, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) causes.push(required(path, "must specify a volume type"));
  for (const extra of sources.slice(1)) {
    causes.push(forbiddenField(`${path}.${extra}`, "may not specify more than 1 volume type"));
  }
  if (volume.emptyDir !== undefined) {
    const { medium = "", sizeLimit } = volume.emptyDir;
    if (medium !== "" && medium !== "Memory")
      causes.push(notSupported(`${path}.emptyDir.medium`, medium, ["", "Memory"]));
    if (sizeLimit !== undefined) readQuantity(sizeLimit, `${path}.emptyDir.sizeLimit`, causes);
  }
  if (volume.configMap !== undefined) {
    causes.push(...validateReferenceName(volume.configMap.name, `${path}.configMap.name`));
    causes.push(...validateFiles(volume.configMap, `${path}.configMap`));
  }
  if (volume.secret !== undefined) {
    causes.push(...validateReferenceName(volume.secret.secretName, `${path}.secret.secretName`));
    causes.push(...validateFiles(volume.secret, `${path}.secret`));
  }
  return causes;
}

function validateFiles(source: ConfigMapVolumeSource | SecretVolumeSource, path: string): readonly StatusCause[] {
  return [
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...(source.items ?? []).flatMap((item, index) => validateItem(item, `${path}.items[${index}]`)),
  ];
}

function validateItem(item: KeyToPath, path: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  if ((item.key ?? "") === "") causes.push(required(`${path}.key`));
  if ((item.path ?? "") === "") causes.push(required(`${path}.path`));
  else {
    causes.push(...validateRelativePath(item.path, `${path}.path`));
    if (item.path.startsWith("..") && !item.path.split("/").includes("..")) {
      causes.push(invalidValue(`${path}.path`, item.path, "must not start with '..'"));
    }
  }
  return [...causes, ...validateMode(item.mode, `${path}.mode`)];
}

function validateRelativePath(text: string, field: string): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  if (text.startsWith("/")) causes.push(invalidValue(field, text, "must be a relative path"));
  if (text.split("/").includes("..")) causes.push(invalidValue(field, text, "must not contain '..'"));
  return causes;
}

function validateMode(mode: number | undefined, field: string): readonly StatusCause[] {
  if (mode === undefined || (Number.isInteger(mode) && mode >= 0 && mode <= 0o777)) return [];
  return [invalidValue(field, mode, modeDetail)];
}
