import { ImageError } from "../image-error.ts";
import type { ImageIndex, IndexEntry } from "./manifest.ts";

/** As OCI names it. */
export interface Platform {
  readonly os: "linux";
  readonly architecture: string;
}

/** The platform of the guests on this host. */
export function hostPlatform(): Platform {
  const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as string] ?? process.arch;
  return { os: "linux", architecture };
}

/**
 * The manifest of an index for `platform`; an entry without a platform is taken when it is the only one.
 * Of several variants the first without one wins, else the first. Throws `NoPlatform`.
 */
export function choosePlatform(index: ImageIndex, platform: Platform, name: string): IndexEntry {
  const fitting = index.manifests.filter(
    (entry) => entry.platform?.os === platform.os && entry.platform.architecture === platform.architecture,
  );
  const chosen = fitting.find((entry) => entry.platform?.variant === "") ?? fitting[0];
  if (chosen !== undefined) return chosen;
  const [only] = index.manifests;
  if (index.manifests.length === 1 && only !== undefined && only.platform === undefined) return only;
  const offered = index.manifests
    .map((entry) => `${entry.platform?.os ?? "?"}/${entry.platform?.architecture ?? "?"}`)
    .filter((text) => text !== "unknown/unknown");
  throw noPlatform(name, platform, `it has ${[...new Set(offered)].slice(0, 20).join(", ") || "none"}`);
}

export function noPlatform(name: string, platform: Platform, why: string): ImageError {
  return new ImageError(`${name} has no image for ${platform.os}/${platform.architecture}: ${why}`, {
    code: "NoPlatform",
    stage: "pull",
    object: name,
  });
}
