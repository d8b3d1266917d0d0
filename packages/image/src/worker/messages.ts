import type { MessagePort } from "node:worker_threads";
import type { PlainImageError } from "../image-error.ts";
import type { ConvertedLayer, ConvertLayerOptions } from "../layer/convert-layer.ts";
import type { BuildMetadataOptions, BuiltMetadata } from "../erofs/build-metadata.ts";

/** What the service asks of a worker thread. Both ends are ours, so the types are trusted. */
export type WorkerRequest =
  | { readonly kind: "convert"; readonly options: ConvertLayerOptions; readonly source: MessagePort }
  | { readonly kind: "metadata"; readonly options: BuildMetadataOptions };

export type WorkerResult = ConvertedLayer | BuiltMetadata;

export type WorkerReply =
  | { readonly result: WorkerResult }
  | { readonly imageError: PlainImageError }
  /** Anything not foreseen: a bug, or an I/O error of the disk. */
  | { readonly failure: string }
  /** The bytes stopped coming because the sender gave up; it knows why. */
  | { readonly sourceFailed: true };

/** From the sender of a byte stream. */
export type SourceMessage = { readonly chunk: Uint8Array } | { readonly end: true } | { readonly failed: true };

/** From its receiver: so many bytes were taken, and more may be sent. */
export interface SourceCredit {
  readonly takenBytes: number;
}
