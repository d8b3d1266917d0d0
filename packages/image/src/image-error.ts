import { IsopodError, systemErrorCode } from "@isopod/base";

/** Every way an image operation can fail, with what the user can do about it. Codes are stable. */
export const imageErrorRemedies = {
  InvalidReference: "Write the image as [registry/]repository[:tag][@sha256:digest], in lower case.",
  NotFound: "Check the name and the tag; a private repository may also answer so when credentials are missing.",
  Unauthorized: "Give credentials of an account that may pull this repository (imagePullSecrets).",
  RateLimited: "Wait, or give credentials of an account with a higher limit.",
  RegistryUnreachable:
    "Check the registry's name, port and the network; a registry that speaks plain HTTP must be listed as insecure.",
  RegistryStalled: "Try again; when it repeats, look at the registry's load and the network between.",
  RegistryFailed: "Try again; when it repeats, read the registry's own log.",
  DigestMismatch: "Push the image again: what the registry holds is not what its manifest names.",
  Truncated: "Push the image again: the registry holds less than the manifest names.",
  InvalidManifest: "Build and push the image again with a current tool.",
  UnsupportedMediaType: "Push the image as OCI or Docker schema 2 with gzip, zstd or plain tar layers.",
  NoPlatform: "Build the image for this platform, or choose another tag.",
  InvalidLayer: "Build the image again with a current tool; do not trust this one if you did not build it.",
  InvalidArchive: "Give an OCI layout (directory or tar) or the output of `docker save`.",
  NoSpace: "Free space on the host's data disk, or remove images that are not needed.",
  InUse: "Delete the instances that use the image first.",
  StoreLocked: "Stop the other process that uses this data directory, or choose another directory.",
  StoreClosed: "The service is stopping; try again when it is up.",
  StoreDamaged: "Remove the image and pull it again.",
} as const;

export type ImageErrorCode = keyof typeof imageErrorRemedies;
export const imageErrorCodes = Object.keys(imageErrorRemedies) as readonly ImageErrorCode[];

export type ImageStage = "pull" | "convert" | "load" | "store";

export interface ImageErrorOptions {
  readonly code: ImageErrorCode;
  readonly stage: ImageStage;
  /** The reference, digest or path it failed on. */
  readonly object: string;
  /** Default: the one of the code in {@link imageErrorRemedies}. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** The one error of this package. */
export class ImageError extends IsopodError<ImageErrorCode> {
  declare readonly stage: ImageStage;

  constructor(message: string, options: ImageErrorOptions) {
    super(message, { remedy: imageErrorRemedies[options.code], ...options });
  }
}

export function isImageError(error: unknown, code?: ImageErrorCode): error is ImageError {
  return error instanceof ImageError && (code === undefined || error.code === code);
}

/** A full disk becomes `NoSpace`; everything else is given back as it is. */
export function translateDiskError(error: unknown, stage: ImageStage, object: string): unknown {
  if (error instanceof ImageError) return error;
  const code = systemErrorCode(error);
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new ImageError(`no space left on the data disk while storing ${object}`, {
    code: "NoSpace",
    stage,
    object,
    cause: error,
  });
}

/** An error as plain data, so that it can cross from a worker thread. */
export interface PlainImageError {
  readonly code: ImageErrorCode;
  readonly stage: ImageStage;
  readonly message: string;
  readonly object: string;
  readonly remedy: string;
}

export function toPlainError(error: ImageError): PlainImageError {
  return {
    code: error.code,
    stage: error.stage,
    message: error.message,
    object: error.object ?? "",
    remedy: error.remedy ?? imageErrorRemedies[error.code],
  };
}
