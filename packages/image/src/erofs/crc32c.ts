const table = new Uint32Array(256);
for (let index = 0; index < 256; index++) {
  let value = index;
  // The reversed Castagnoli polynomial.
  for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  table[index] = value;
}

/** CRC-32C as the kernel's `crc32c(~0, data, length)`: the last inversion is left out. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of data) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return crc >>> 0;
}
