import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

export type Compression = "none" | "gzip" | "zstd";

/** Told from the first bytes, as Docker does: media types lie more often than content. */
export function compressionOf(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return "zstd";
  return "none";
}

/** Decompressed pieces of this size keep the number of trips to zlib's thread small. */
const outputChunkBytes = 256 * 1024;

/**
 * The stream, decompressed when it is gzip or zstd; what it is shows in its first four bytes.
 * The source is not closed: it may hold more than the compressed frame.
 */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let firstBytes = 0;
  while (firstBytes < 4) {
    const next = await iterator.next();
    if (next.done === true) break;
    first.push(next.value);
    firstBytes += next.value.length;
  }
  const start = Buffer.concat(first);
  const compression = compressionOf(start);
  const whole = resume(start, iterator);
  if (compression === "none") {
    for await (const chunk of whole) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    return;
  }
  const input = Readable.from(whole, { objectMode: false, highWaterMark: outputChunkBytes });
  const output =
    compression === "gzip"
      ? createGunzip({ chunkSize: outputChunkBytes })
      : createZstdDecompress({ chunkSize: outputChunkBytes });
  // pipe() passes no errors on, and pipeline() would hide which side failed first.
  input.on("error", (error) => output.destroy(error));
  input.pipe(output);
  try {
    for await (const chunk of output) yield chunk;
  } finally {
    input.destroy();
  }
}

async function* resume(start: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (start.length > 0) yield start;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

/** The stream is damaged or cut, as zlib says it. */
export function isDecompressorError(error: unknown): error is Error & { readonly code: string } {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return false;
  return error.code.startsWith("Z_") || error.code.startsWith("ZSTD_");
}
