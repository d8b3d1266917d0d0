import type { ImageConfig } from "../contract.ts";
import { type Digest, isDigest } from "../digest.ts";
import { asArray, asObject, asString, parseJson, stringsOf } from "./json-value.ts";
import { manifestError } from "./manifest.ts";

/** The parts of an image's configuration document that matter here. */
export interface ParsedConfig {
  readonly config: ImageConfig;
  /** "" when the document does not say. */
  readonly architecture: string;
  readonly os: string;
  /** 0 when the document does not say. */
  readonly createdMs: number;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
}

/** Throws `InvalidManifest` when it is no configuration of an image; odd fields inside `config` count as absent. */
export function parseImageConfig(content: Uint8Array | string, name: string): ParsedConfig {
  const document = asObject(parseJson(Buffer.from(content).toString()));
  if (document === undefined) throw manifestError("InvalidManifest", name, "its config is not a JSON object");
  const diffIds = asArray(asObject(document["rootfs"])?.["diff_ids"]) ?? [];
  const fields = asObject(document["config"]) ?? {};
  const createdMs = Date.parse(asString(document["created"]) ?? "");
  return {
    config: {
      env: stringsOf(fields["Env"]),
      entrypoint: stringsOf(fields["Entrypoint"]),
      cmd: stringsOf(fields["Cmd"]),
      user: asString(fields["User"]) ?? "",
      workingDir: asString(fields["WorkingDir"]) ?? "",
      stopSignal: asString(fields["StopSignal"]) ?? "",
      labels: Object.fromEntries(
        Object.entries(asObject(fields["Labels"]) ?? {}).flatMap(([key, value]) =>
          typeof value === "string" ? [[key, value] as const] : [],
        ),
      ),
      volumes: Object.keys(asObject(fields["Volumes"]) ?? {}),
    },
    architecture: asString(document["architecture"]) ?? "",
    os: asString(document["os"]) ?? "",
    createdMs: Number.isNaN(createdMs) ? 0 : Math.max(0, createdMs),
    diffIds: diffIds.map((diffId) => {
      if (typeof diffId === "string" && isDigest(diffId)) return diffId;
      throw manifestError("InvalidManifest", name, "its config names a layer without a valid digest");
    }),
  };
}
