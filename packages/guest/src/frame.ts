import { frameTypes, maxFramePayloadBytes } from "./contract.ts";
import { GuestError } from "./guest-error.ts";

/** One frame of a streaming body; the types are {@link frameTypes}. */
export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

const headerBytes = 5;

/** Throws RangeError when the payload is longer than {@link maxFramePayloadBytes}. */
export function encodeFrame(type: number, payload: Uint8Array | string): Buffer {
  const body = typeof payload === "string" ? Buffer.from(payload) : payload;
  if (body.length > maxFramePayloadBytes) throw new RangeError(`a frame of ${body.length} bytes is too long`);
  const frame = Buffer.allocUnsafe(headerBytes + body.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, headerBytes);
  return frame;
}

/** `data` as as many stdin frames as it needs. */
export function* stdinFrames(data: Uint8Array): Generator<Buffer> {
  for (let from = 0; from < data.length; from += maxFramePayloadBytes) {
    yield encodeFrame(frameTypes.stdin, data.subarray(from, from + maxFramePayloadBytes));
  }
}

/** Cuts a stream of bytes into frames, however the bytes arrive. Holds at most one frame beyond what it was given. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  /** The frames that are complete with `data`. Throws `BadAnswer` for one that is too long. */
  *push(data: Buffer): Generator<Frame> {
    this.#pending = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    while (this.#pending.length >= headerBytes) {
      const length = this.#pending.readUInt32BE(1);
      if (length > maxFramePayloadBytes) {
        throw new GuestError(`the agent sent a frame of ${length} bytes; the bound is ${maxFramePayloadBytes}`, {
          code: "BadAnswer",
        });
      }
      if (this.#pending.length < headerBytes + length) return;
      const frame = {
        type: this.#pending.readUInt8(0),
        payload: this.#pending.subarray(headerBytes, headerBytes + length),
      };
      this.#pending = this.#pending.subarray(headerBytes + length);
      yield frame;
    }
  }

  /** What has come behind the last frame; the decoder is then as new. */
  takeRest(): Buffer {
    const rest = this.#pending;
    this.#pending = Buffer.alloc(0);
    return rest;
  }

  /** True when nothing is half-way through. */
  get isAtBoundary(): boolean {
    return this.#pending.length === 0;
  }
}
