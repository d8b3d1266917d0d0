/**
 * An empty qcow2 image, byte for byte, after docs/interop/qcow2.txt of QEMU.
 *
 * Made here rather than by `qemu-img create`, which costs a process per start. Clusters are 128 KiB with extended L2
 * entries, so that their 32 subclusters are 4 KiB, the block size of the file system inside: a first write copies
 * nothing from the backing file. Measured against the default 64 KiB clusters with QEMU 7.2, scattered 4 KiB writes:
 * 5 to 9 times faster, and a fifteenth of the space on the host.
 */
const clusterBits = 17;
const clusterSizeBytes = 2 ** clusterBits;
/** An extended entry is twice a plain one: half as many fit in the one cluster an L2 table has. */
const bytesPerL2Table = (clusterSizeBytes / 16) * clusterSizeBytes;
const headerLength = 112;
const incompatibleExtendedL2 = 1n << 4n;
/** Two bytes for each cluster's reference count. */
const refcountOrder = 4;

/** A piece of the image; everything between the pieces is zeros. */
export interface Extent {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Qcow2Image {
  readonly extents: readonly Extent[];
  readonly fileSizeBytes: number;
}

/** The image of a disk of `sizeBytes`, a multiple of 512, with nothing in it and no backing file named. */
export function emptyQcow2(sizeBytes: number): Qcow2Image {
  const l1Entries = Math.ceil(sizeBytes / bytesPerL2Table);
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterSizeBytes);
  // Clusters in order: header, refcount table, its one refcount block, L1 table.
  const refcountTable = clusterSizeBytes;
  const refcountBlock = 2 * clusterSizeBytes;
  const l1Table = 3 * clusterSizeBytes;
  const clusters = 3 + l1Clusters;

  const header = new DataView(new ArrayBuffer(headerLength + 8));
  header.setUint32(0, 0x51_46_49_fb); // "QFI\xfb"
  header.setUint32(4, 3);
  header.setUint32(20, clusterBits);
  header.setBigUint64(24, BigInt(sizeBytes));
  header.setUint32(36, l1Entries);
  header.setBigUint64(40, BigInt(l1Table));
  header.setBigUint64(48, BigInt(refcountTable));
  header.setUint32(56, 1);
  header.setBigUint64(72, incompatibleExtendedL2);
  header.setUint32(96, refcountOrder);
  header.setUint32(100, headerLength);
  // The eight zeros after the header end the list of its extensions.

  const tableEntry = new DataView(new ArrayBuffer(8));
  tableEntry.setBigUint64(0, BigInt(refcountBlock));
  const counts = new DataView(new ArrayBuffer(clusters * 2));
  for (let cluster = 0; cluster < clusters; cluster++) counts.setUint16(cluster * 2, 1);

  return {
    extents: [
      { offset: 0, bytes: new Uint8Array(header.buffer) },
      { offset: refcountTable, bytes: new Uint8Array(tableEntry.buffer) },
      { offset: refcountBlock, bytes: new Uint8Array(counts.buffer) },
    ],
    fileSizeBytes: clusters * clusterSizeBytes,
  };
}
