import type { ExtendedAttribute } from "../tar/tar-entry.ts";

const headerBytes = 12;
const entryBytes = 4;

/** Namespaces are stored as a number; the two access control lists have one each and no name left. */
function splitName(name: string): { readonly index: number; readonly suffix: string } {
  if (name === "system.posix_acl_access") return { index: 2, suffix: "" };
  if (name === "system.posix_acl_default") return { index: 3, suffix: "" };
  const dot = name.indexOf(".") + 1;
  const index = { "user.": 1, "trusted.": 4, "security.": 6 }[name.slice(0, dot)];
  if (index === undefined) throw new TypeError(`EROFS has no namespace for the attribute ${name}`);
  return { index, suffix: name.slice(dot) };
}

/** Bytes the attributes take behind an inode; 0 when there are none. */
export function attributesSize(attributes: readonly ExtendedAttribute[]): number {
  if (attributes.length === 0) return 0;
  let size = headerBytes;
  for (const { name, value } of attributes) {
    size += align4(entryBytes + splitName(name).suffix.length + value.length);
  }
  return size;
}

/** The count field of an inode: 4-byte units beyond a header of 12 bytes, plus one; 0 when there are none. */
export function attributesCount(sizeBytes: number): number {
  return sizeBytes === 0 ? 0 : (sizeBytes - headerBytes) / 4 + 1;
}

/** Writes the header (all zero: none are shared) and the entries. */
export function writeAttributes(buffer: Buffer, offset: number, attributes: readonly ExtendedAttribute[]): void {
  if (attributes.length === 0) return;
  let at = offset + headerBytes;
  for (const { name, value } of attributes) {
    const { index, suffix } = splitName(name);
    buffer.writeUInt8(suffix.length, at);
    buffer.writeUInt8(index, at + 1);
    buffer.writeUInt16LE(value.length, at + 2);
    buffer.write(suffix, at + entryBytes, "latin1");
    buffer.set(value, at + entryBytes + suffix.length);
    at += align4(entryBytes + suffix.length + value.length);
  }
}

function align4(size: number): number {
  return (size + 3) & ~3;
}
