import type { DiskPart } from "./contract.ts";

const sectorBytes = 512;

/**
 * The text of a VMDK descriptor that makes QEMU see files as one disk, in order, without copying: the format `vmdk`
 * with flat extents. QEMU opens them as it opens the disk, so a read-only disk needs read access only, although every
 * extent says RW (QEMU skips those that do not).
 *
 * `mapPath` gives the path QEMU is to open, e.g. `/dev/fdset/N` for a file handed over as a descriptor; a relative one
 * is taken from the descriptor's directory. Sizes must be multiples of 512, which parts of an image's disk are.
 * Throws `RangeError` for a path or a size that the format cannot hold.
 */
export function vmdkDescriptor(
  parts: readonly DiskPart[],
  mapPath: (part: DiskPart, index: number) => string = (part) => part.path,
): string {
  const extents = parts.map((part, index) => {
    const path = mapPath(part, index);
    // QEMU 7.2 reads at most 511 bytes, up to a quote or the line's end.
    if (Buffer.byteLength(path) > 511 || /["\r\n]/.test(path))
      throw new RangeError(`no path for a VMDK extent: ${path}`);
    if (part.sizeBytes <= 0 || part.sizeBytes % sectorBytes !== 0) {
      throw new RangeError(`${part.path} has ${part.sizeBytes} bytes, which is no number of sectors`);
    }
    return `RW ${part.sizeBytes / sectorBytes} FLAT "${path}" 0`;
  });
  return [
    "# Disk DescriptorFile",
    "version=1",
    "CID=fffffffe",
    "parentCID=ffffffff",
    'createType="twoGbMaxExtentFlat"',
    "",
    "# Extent description",
    ...extents,
    "",
  ].join("\n");
}
