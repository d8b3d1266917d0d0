/**
 * The on-disk format of EROFS, as in fs/erofs/erofs_fs.h of Linux 6.1. Only what this package writes: uncompressed
 * files in one run of blocks each, extended inodes, inline extended attributes, no optional features that a kernel
 * would have to know.
 */
export const blockSize = 4096;
export const superblockOffset = 1024;
export const superblockMagic = 0xe0f5e1e2;
/** A checksum is present; times in inodes are modification times. */
export const featureCompat = 0x1 | 0x2;

/** Inode numbers count slots of 32 bytes from block 0. */
export const slotBytes = 32;
export const inodeBytes = 64;
/** Extended inodes need not be aligned to their size; that they are keeps each in one block. */
export const inodeAlignment = 64;
/**
 * The superblock holds the root's number in 16 bits. The root is the first inode, at block 1; number 0 would do for
 * EROFS, but some programs skip directory entries with it.
 */
export const rootOffset = blockSize;

/** Bit 0 of an inode's format: 64 bytes; bits 1–3: where the data are. */
export const inodeFormat = { plain: 0b0001, inline: 0b0101 } as const;

export const directoryEntryBytes = 12;
/** Sum of name lengths and entries in one directory block. */
export const fileTypeCode = {
  file: 1,
  directory: 2,
  characterDevice: 3,
  blockDevice: 4,
  fifo: 5,
  symbolicLink: 7,
} as const;

/** The file type bits of a mode. */
export const modeBits = {
  file: 0o100000,
  directory: 0o040000,
  characterDevice: 0o020000,
  blockDevice: 0o060000,
  fifo: 0o010000,
  symbolicLink: 0o120000,
} as const;

/** Block addresses are 32 bits, the last one being reserved: a disk ends at 16 TiB. */
export const maxBlocks = 0xffff_fffe;
