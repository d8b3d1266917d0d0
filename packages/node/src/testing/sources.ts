import type { PodSources } from "../container-environment.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Sources with these config maps and secrets (plain text), and facts that are easy to recognise. */
export function sourcesWith(
  configMaps: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
  secrets: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
): PodSources {
  return {
    podIP: "10.64.0.7",
    hostIP: "192.0.2.1",
    size: { cpuMilli: 250, memoryMiB: 512 },
    configMap: (name) => {
      const data = configMaps[name];
      return data === undefined ? undefined : { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
    },
    secret: (name) => {
      const texts = secrets[name];
      if (texts === undefined) return undefined;
      const data = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, base64(text)]));
      return { apiVersion: "v1", kind: "Secret", metadata: { name }, data };
    },
  };
}
