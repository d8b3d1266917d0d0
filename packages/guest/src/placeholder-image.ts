/** Bytes of an EROFS block, all there is of it. */
const blockSize = 4096;
const superblockOffset = 1024;
const magic = 0xe0f5e1e2;
/** Inodes are counted in units of 32 bytes: the root directory's is right behind the superblock. */
const rootNumber = 36;
const directoryMode = 0o040755;
/** Compact inode whose data follows it. */
const inlineFormat = 2 << 1;
const directoryType = 2;

/**
 * An EROFS image with nothing in it, for the slot of the image disk while a template boots: the agent mounts it, and a
 * fork of the template reads the image it finds in its place. The disk may be, and should be, larger: the guest keeps
 * the size the disk had in the template.
 */
export function placeholderImage(): Buffer {
  const image = Buffer.alloc(blockSize);
  image.writeUInt32LE(magic, superblockOffset);
  image.writeUInt8(Math.log2(blockSize), superblockOffset + 12);
  image.writeUInt16LE(rootNumber, superblockOffset + 14);
  image.writeBigUInt64LE(1n, superblockOffset + 16); // inodes
  image.writeUInt32LE(1, superblockOffset + 36); // blocks
  const inode = rootNumber * 32;
  image.writeUInt16LE(inlineFormat, inode);
  image.writeUInt16LE(directoryMode, inode + 4);
  image.writeUInt16LE(2, inode + 6); // links
  const entries = inode + 32;
  const names = [".", ".."];
  let nameOffset = names.length * 12;
  for (const [index, name] of names.entries()) {
    const entry = entries + index * 12;
    image.writeBigUInt64LE(BigInt(rootNumber), entry);
    image.writeUInt16LE(nameOffset, entry + 8);
    image.writeUInt8(directoryType, entry + 10);
    image.write(name, entries + nameOffset);
    nameOffset += name.length;
  }
  image.writeUInt32LE(nameOffset, inode + 8); // size
  return image;
}
