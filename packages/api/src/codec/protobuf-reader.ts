import { IsopodError } from "@isopod/base";

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** The bytes are not the protobuf message they should be. */
export class ProtobufError extends IsopodError<"BadProtobuf"> {
  constructor(message: string) {
    super(`proto: ${message}`, { code: "BadProtobuf", stage: "decode" });
  }
}

/** A cursor over the wire format of one protobuf message; every read is checked against its end. */
export class ProtobufReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #position: number;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#end;
  }

  /** Field number × 8 + wire type. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw new ProtobufError("illegal tag 0");
    return tag;
  }

  uint32(): number {
    const low = this.#varint();
    if (this.#high !== 0) throw new ProtobufError("integer overflow");
    return low;
  }

  /** A signed integer of 32 bits; negative ones travel as 64 bits. */
  int32(): number {
    return this.#varint() | 0;
  }

  /** A signed integer of 64 bits. One that this language cannot hold exactly is an error, not another number. */
  int64(): number {
    const low = this.#varint();
    const value = (this.#high | 0) * 2 ** 32 + low;
    if (!Number.isSafeInteger(value)) throw new ProtobufError("integer beyond 2^53");
    return value;
  }

  bool(): boolean {
    return this.#varint() !== 0 || this.#high !== 0;
  }

  double(): number {
    this.#require(8);
    const value = this.#bytes.readDoubleLE(this.#position);
    this.#position += 8;
    return value;
  }

  string(): string {
    const start = this.#skipBytes();
    return this.#bytes.toString("utf8", start, this.#position);
  }

  bytes(): Buffer {
    const start = this.#skipBytes();
    return this.#bytes.subarray(start, this.#position);
  }

  /** A reader of the message that comes next. */
  message(): ProtobufReader {
    const start = this.#skipBytes();
    return new ProtobufReader(this.#bytes, start, this.#position);
  }

  skip(wireType: number): void {
    switch (wireType) {
      case wireTypes.varint:
        this.#varint();
        return;
      case wireTypes.fixed64:
        this.#require(8);
        this.#position += 8;
        return;
      case wireTypes.bytes:
        this.#skipBytes();
        return;
      case wireTypes.fixed32:
        this.#require(4);
        this.#position += 4;
        return;
      default:
        throw new ProtobufError(`illegal wireType ${wireType}`);
    }
  }

  #skipBytes(): number {
    const length = this.uint32();
    this.#require(length);
    const start = this.#position;
    this.#position += length;
    return start;
  }

  #require(length: number): void {
    if (this.#position + length > this.#end) throw new ProtobufError("unexpected EOF");
  }

  /** The upper 32 bits of the varint read last. */
  #high = 0;

  /** Reads a varint and returns its lower 32 bits, unsigned. */
  #varint(): number {
    let low = 0;
    this.#high = 0;
    for (let index = 0; index < 10; index++) {
      this.#require(1);
      const byte = this.#bytes[this.#position++] ?? 0;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index === 4) {
        low |= bits << 28;
        this.#high = bits >>> 4;
      } else this.#high |= bits << (7 * index - 32);
      if (byte < 0x80) return low >>> 0;
    }
    throw new ProtobufError("integer overflow");
  }
}
