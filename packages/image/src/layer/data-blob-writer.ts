import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";

export const blockSize = 4096;
/** Large enough to make system calls rare, small enough to stay in a second-level cache. */
const stagingBytes = 1024 * 1024;

/**
 * Writes a layer's data blob: contents of files, each beginning at a block, in the order they come. Blocks of zeros
 * are not written, so they are holes of the file and cost nothing. Synchronous: it runs in a worker thread, where a
 * write to the page cache is cheaper than a round trip through the event loop.
 */
export class DataBlobWriter implements Disposable {
  readonly #fd: number;
  readonly #staging = Buffer.alloc(stagingBytes);
  /** Position in the blob of the first staged byte, always a multiple of the block size. */
  #stagingStart = 0;
  #stagingFill = 0;
  #sizeBytes = 0;
  #isOpen = true;

  /** Creates the file, which must not exist. */
  constructor(path: string) {
    this.#fd = openSync(path, "wx", 0o644);
  }

  /** Where the next file would begin; a multiple of the block size. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Reserves `sizeBytes`, rounded up to blocks, at the end; returns the first block. */
  allocate(sizeBytes: number): number {
    const startBlock = this.#sizeBytes / blockSize;
    this.#sizeBytes += Math.ceil(sizeBytes / blockSize) * blockSize;
    return startBlock;
  }

  /** Writes at a byte position, which never goes back. */
  write(bytes: Uint8Array, position: number): void {
    let taken = 0;
    while (taken < bytes.length) {
      const at = position + taken;
      if (at >= this.#stagingStart + stagingBytes) {
        this.#flush();
        this.#stagingStart = at - (at % blockSize);
      }
      const offset = at - this.#stagingStart;
      const length = Math.min(bytes.length - taken, stagingBytes - offset);
      // Between files the staging area may hold older bytes.
      if (offset > this.#stagingFill) this.#staging.fill(0, this.#stagingFill, offset);
      this.#staging.set(bytes.subarray(taken, taken + length), offset);
      this.#stagingFill = offset + length;
      taken += length;
    }
  }

  /** Writes what is left, gives the file its full size and makes it durable. */
  finish(): void {
    this.#flush();
    ftruncateSync(this.#fd, this.#sizeBytes);
    fsyncSync(this.#fd);
    this.#close();
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  /** Writes the staged blocks that have data, each run of them in one call. */
  #flush(): void {
    const padded = Math.ceil(this.#stagingFill / blockSize) * blockSize;
    this.#staging.fill(0, this.#stagingFill, padded);
    let runStart = -1;
    for (let block = 0; block < padded; block += blockSize) {
      const isHole = isZeroBlock(this.#staging, block);
      if (!isHole && runStart < 0) runStart = block;
      if (isHole && runStart >= 0) {
        this.#writeRun(runStart, block);
        runStart = -1;
      }
    }
    if (runStart >= 0) this.#writeRun(runStart, padded);
    this.#stagingStart += padded;
    this.#stagingFill = 0;
  }

  #writeRun(start: number, end: number): void {
    let done = start;
    while (done < end) done += writeSync(this.#fd, this.#staging, done, end - done, this.#stagingStart + done);
  }
}

const zeros = Buffer.alloc(blockSize);

/** Nearly every block shows a byte of data at its beginning, which spares the comparison. */
function isZeroBlock(buffer: Buffer, offset: number): boolean {
  if (buffer[offset] !== 0) return false;
  return zeros.compare(buffer, offset, offset + blockSize) === 0;
}
