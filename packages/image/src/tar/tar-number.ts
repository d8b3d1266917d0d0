import { TarFormatError } from "./tar-entry.ts";

/**
 * A number field of a header: octal text, or GNU's base-256 when the top bit is set (big-endian two's complement).
 * Throws when it is neither, or beyond 2^53.
 */
export function readTarNumber(header: Buffer, offset: number, length: number, field: string): number {
  const first = header[offset] ?? 0;
  if ((first & 0x80) !== 0) return readBase256(header, offset, length, field);
  let value = 0;
  let seenDigit = false;
  for (let index = offset; index < offset + length; index++) {
    const byte = header[index] ?? 0;
    if (byte >= 0x30 && byte <= 0x37) {
      value = value * 8 + (byte - 0x30);
      seenDigit = true;
    } else if (byte === 0x20 || byte === 0) {
      if (seenDigit) break;
    } else {
      throw new TarFormatError(`the header's ${field} is not a number`);
    }
  }
  return value;
}

function readBase256(header: Buffer, offset: number, length: number, field: string): number {
  let value = 0n;
  for (let index = offset; index < offset + length; index++) value = (value << 8n) | BigInt(header[index] ?? 0);
  const bits = BigInt(length * 8);
  // 0x80 marks a positive number and is no part of it; 0xff is the sign of a negative one.
  value = header[offset] === 0xff ? value - (1n << bits) : value & ((1n << (bits - 1n)) - 1n);
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new TarFormatError(`the header's ${field} is out of range`);
  }
  return Number(value);
}

/** A decimal number of a PAX record. */
export function readDecimal(text: string, field: string): number {
  if (!/^[0-9]{1,16}$/.test(text)) throw new TarFormatError(`the PAX record ${field} is not a number`);
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new TarFormatError(`the PAX record ${field} is out of range`);
  return value;
}
