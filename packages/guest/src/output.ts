import type { ClientHttp2Stream } from "node:http2";
import { parseJson, readMark } from "./answers.ts";
import { frameTypes, type OutputMark } from "./contract.ts";
import { FrameDecoder } from "./frame.ts";
import { GuestError } from "./guest-error.ts";

/** What a container wrote at once. */
export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
  /** Wall time of the guest at which the agent read it, microseconds. */
  readonly epochMicros: number;
  /** Where to continue behind this chunk. */
  readonly nextOffset: number;
  /** Bytes lost just before this chunk. */
  readonly droppedBytes: number;
}

/**
 * The chunks of an output stream that begins at `from`. Offsets that do not add up are `BadAnswer`; after an abort the
 * signal's reason is thrown.
 */
export async function* readOutput(
  open: () => Promise<ClientHttp2Stream>,
  from: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<OutputChunk, void, undefined> {
  const stream = await open();
  const decoder = new FrameDecoder();
  let offset = from;
  let mark: OutputMark | undefined;
  try {
    for await (const data of stream) {
      for (const frame of decoder.push(data)) {
        if (frame.type === frameTypes.exit) return;
        if (frame.type === frameTypes.mark) {
          mark = readMark(parseJson(frame.payload.toString()));
          continue;
        }
        const isOutput = frame.type === frameTypes.stdout || frame.type === frameTypes.stderr;
        if (!isOutput || mark === undefined || mark.nextOffset !== offset + mark.droppedBytes + frame.payload.length) {
          throw new GuestError("the agent's output does not add up", { code: "BadAnswer" });
        }
        offset = mark.nextOffset;
        yield { ...mark, stream: frame.type === frameTypes.stdout ? "stdout" : "stderr", data: frame.payload };
        mark = undefined;
      }
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof GuestError) throw cause;
    throw brokenOff(cause);
  } finally {
    stream.destroy();
  }
  signal?.throwIfAborted();
  throw brokenOff(undefined);
}

function brokenOff(cause: unknown): GuestError {
  return new GuestError("the output stream broke off before the container's end", {
    code: "Disconnected",
    remedy: "Connect again and continue at the last offset.",
    cause,
  });
}
