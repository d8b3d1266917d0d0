import { backoffDelayMs } from "@isopod/base";
import { type Digest, digestOf } from "../digest.ts";
import { ImageError, isImageError } from "../image-error.ts";
import type { HttpResponse, HttpTransport } from "./http-transport.ts";
import type { RepositoryClient } from "./repository-client.ts";

/** Configurations of real images have some kilobytes. */
const maxConfigBytes = 8 * 1024 * 1024;
/** Breaks without a single new byte between them. */
const maxFruitlessAttempts = 4;
/** Breaks in all: a registry that drops the line after every byte must end some time. */
const maxAttempts = 64;
const backoff = { initialMs: 200, maxMs: 5_000 };

export interface BlobSource {
  readonly client: RepositoryClient;
  readonly transport: HttpTransport;
  readonly digest: Digest;
  /** As the manifest says; the blob must have exactly so many. */
  readonly sizeBytes: number;
  /** For messages: the blob and its image. */
  readonly name: string;
}

/**
 * The bytes of a blob. A broken connection is resumed by a range request where it broke; so is a stall, once, when
 * something came before it. The digest is the consumer's to check, as it sees every byte.
 * Throws `Truncated`, `DigestMismatch` (too long), `RegistryStalled`, `RegistryUnreachable`, …
 */
export async function* downloadBlob(source: BlobSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let doneBytes = 0;
  let fruitless = 0;
  for (let attempt = 0; doneBytes < source.sizeBytes; attempt++) {
    const startBytes = doneBytes;
    try {
      for await (const chunk of readFrom(source, startBytes, signal)) {
        doneBytes += chunk.length;
        if (doneBytes > source.sizeBytes) throw tooLong(source);
        yield chunk;
      }
      if (doneBytes < source.sizeBytes) throw truncated(source, doneBytes);
    } catch (error) {
      fruitless = doneBytes > startBytes ? 1 : fruitless + 1;
      const isPassing = isImageError(error, "RegistryUnreachable") || isImageError(error, "Truncated");
      const isStall = isImageError(error, "RegistryStalled") && doneBytes > startBytes;
      if (signal.aborted || !(isPassing || isStall)) throw error;
      if (fruitless >= maxFruitlessAttempts || attempt + 1 >= maxAttempts) throw error;
      await source.transport.clock.sleep(backoffDelayMs(fruitless, backoff), signal);
    }
  }
}

/** A small blob as a whole, its digest checked. */
export async function downloadConfig(source: BlobSource, signal: AbortSignal): Promise<Buffer> {
  if (source.sizeBytes > maxConfigBytes) {
    throw new ImageError(`${source.name} has ${source.sizeBytes} bytes, more than ${maxConfigBytes}`, {
      code: "InvalidManifest",
      stage: "pull",
      object: source.name,
    });
  }
  const content = Buffer.concat(await Array.fromAsync(downloadBlob(source, signal)));
  const digest = digestOf(content);
  if (digest === source.digest) return content;
  throw new ImageError(`${source.name}: the content has digest ${digest}, not ${source.digest}`, {
    code: "DigestMismatch",
    stage: "pull",
    object: source.name,
  });
}

async function* readFrom(source: BlobSource, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
  const response = await source.client.get(`blobs/${source.digest}`, headers, signal, source.name);
  // A registry without ranges starts over; what is already here is thrown away as it comes.
  let skipBytes = offset > 0 && !isRangeFrom(response, offset) ? offset : 0;
  for await (const chunk of source.transport.body(response)) {
    const skipped = Math.min(skipBytes, chunk.length);
    skipBytes -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

function isRangeFrom(response: HttpResponse, offset: number): boolean {
  return response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${offset}-`) === true;
}

function truncated(source: BlobSource, doneBytes: number): ImageError {
  return new ImageError(`${source.name} ends after ${doneBytes} of ${source.sizeBytes} bytes`, {
    code: "Truncated",
    stage: "pull",
    object: source.name,
  });
}

function tooLong(source: BlobSource): ImageError {
  return new ImageError(`${source.name} is longer than the ${source.sizeBytes} bytes its manifest names`, {
    code: "DigestMismatch",
    stage: "pull",
    object: source.name,
  });
}
