import { configKeyProblems } from "../names.ts";
import type { ConfigMap, Secret } from "../types/core.ts";
import type { StringMap } from "../types/meta.ts";
import type { StatusCause } from "../types/status.ts";
import { forbiddenField, invalidValue, keyed, problems, required, tooLong } from "./field-error.ts";
import { isSameJson } from "./same-json.ts";

const maxTotalBytes = 1024 * 1024;
const immutableDetail = "field is immutable when `immutable` is set";

/** Keys that a type of Secret promises to its readers. */
const secretKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

export function validateConfigMap(map: ConfigMap, old: ConfigMap | undefined): readonly StatusCause[] {
  const { data = {}, binaryData = {} } = map;
  const causes = [...validateKeys(data, "data"), ...validateKeys(binaryData, "binaryData")];
  for (const key of Object.keys(data).filter((key) => Object.hasOwn(binaryData, key))) {
    causes.push(invalidValue(keyed("data", key), key, "duplicate of key present in binaryData"));
  }
  if (textBytes(data) + base64Bytes(binaryData) > maxTotalBytes) causes.push(tooLong("", maxTotalBytes));
  return [...causes, ...validateImmutable(map, old, ["data", "binaryData"])];
}

export function validateSecret(secret: Secret, old: Secret | undefined): readonly StatusCause[] {
  const { data = {}, type = "Opaque" } = secret;
  const causes = [
    ...validateKeys(data, "data"),
    ...validateSecretType(type, data),
    ...validateImmutable(secret, old, ["data"]),
  ];
  if (base64Bytes(data) > maxTotalBytes) causes.push(tooLong("data", maxTotalBytes));
  if (old !== undefined && type !== (old.type ?? "Opaque"))
    causes.push(invalidValue("type", type, "field is immutable"));
  return causes;
}

function validateSecretType(type: string, data: StringMap): readonly StatusCause[] {
  if (type === "kubernetes.io/basic-auth") {
    if (Object.hasOwn(data, "username") || Object.hasOwn(data, "password")) return [];
    return [required(keyed("data", "username")), required(keyed("data", "password"))];
  }
  const absent = (secretKeys[type] ?? []).filter((key) => !Object.hasOwn(data, key));
  if (absent.length > 0) return absent.map((key) => required(keyed("data", key)));
  const jsonKey = type === "kubernetes.io/dockerconfigjson" ? ".dockerconfigjson" : ".dockercfg";
  if (!type.startsWith("kubernetes.io/dockerc") || isJsonObject(data[jsonKey] ?? "")) return [];
  return [invalidValue(keyed("data", jsonKey), "<secret contents redacted>", "must be a JSON object")];
}

function validateKeys(data: StringMap, field: string): readonly StatusCause[] {
  return Object.keys(data).flatMap((key) => problems(keyed(field, key), key, configKeyProblems(key)));
}

function validateImmutable<T extends ConfigMap | Secret>(
  object: T,
  old: T | undefined,
  fields: readonly (keyof T & string)[],
): readonly StatusCause[] {
  if (old?.immutable !== true) return [];
  const causes = fields
    .filter((field) => !isSameJson(object[field], old[field]))
    .map((field) => forbiddenField(field, immutableDetail));
  return object.immutable === true ? causes : [forbiddenField("immutable", immutableDetail), ...causes];
}

function isJsonObject(base64: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function textBytes(data: StringMap): number {
  return Object.values(data).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function base64Bytes(data: StringMap): number {
  return Object.values(data).reduce((sum, text) => sum + Buffer.byteLength(text, "base64"), 0);
}
