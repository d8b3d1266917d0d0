const headerBytes = 64 + 56;
const address = 0x40_0000;
const instructions = [
  "480fc7f0", // rdrand rax
  "50", // push rax
  "b801000000bf010000004889e6ba080000000f05", // write(1, rsp, 8)
  "b83c00000031ff0f05", // exit(0)
];

/** A program for x86-64 that writes eight bytes of the processor's random numbers, as `printf` of a shell takes it. */
export function rdrandProgram(): string {
  const code = Buffer.from(instructions.join(""), "hex");
  const header = Buffer.alloc(headerBytes);
  header.write("7f454c46020101", "hex");
  // An executable for this machine, with one segment, all of it.
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(address + headerBytes), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64);
  header.writeUInt32LE(5, 68);
  for (const at of [80, 88]) header.writeBigUInt64LE(BigInt(address), at);
  for (const at of [96, 104]) header.writeBigUInt64LE(BigInt(headerBytes + code.length), at);
  header.writeBigUInt64LE(0x1000n, 112);
  return [...header, ...code].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
