/** VMDK counts in sectors of 512 bytes. */
export const sectorBytes = 512;

export interface FlatExtent {
  /** Absolute path as QEMU opens it, such as `/dev/fdset/7`; without double quotes. */
  readonly path: string;
  /** A multiple of {@link sectorBytes}. */
  readonly sizeBytes: number;
}

/**
 * The text of a VMDK descriptor that makes one disk of whole files laid end to end.
 * QEMU's own `vmdk` driver reads it (block/vmdk.c, "FLAT" extents); nothing is copied.
 */
export function vmdkDescriptor(extents: readonly FlatExtent[]): string {
  const lines = extents.map((extent) => `RW ${extent.sizeBytes / sectorBytes} FLAT "${extent.path}" 0`);
  return [
    "# Disk DescriptorFile",
    "version=1",
    "CID=fffffffe",
    "parentCID=ffffffff",
    'createType="twoGbMaxExtentFlat"',
    // No empty line may come before an extent: QEMU 7.2 reads across it and counts that extent twice.
    ...lines,
    'ddb.adapterType = "ide"',
    "",
  ].join("\n");
}
