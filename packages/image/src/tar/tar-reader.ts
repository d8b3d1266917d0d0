import { type PaxOverrides, parsePax } from "./pax.ts";
import {
  checkSparseMap,
  maxSparseSegments,
  readOldGnuSegments,
  SparseMapParser,
  type SparseSegment,
} from "./sparse.ts";
import { type TarEntryType, TarFormatError, type TarHandler } from "./tar-entry.ts";
import { parseTarHeader, type TarHeader } from "./tar-header.ts";
import { readTarNumber } from "./tar-number.ts";

const blockSize = 512;
/** PAX headers and long names are held in memory; real ones have some kilobytes, security labels included. */
const maxMetadataBytes = 1024 * 1024;

const typeOfFlag: Readonly<Record<string, TarEntryType>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardLink",
  "2": "symbolicLink",
  "3": "characterDevice",
  "4": "blockDevice",
  "5": "directory",
  "6": "fifo",
};

/** What the next bytes are. `block`: 512 bytes of header or map, gathered when a chunk boundary splits them. */
type State = "header" | "metadata" | "oldSparseMap" | "sparseMap" | "data" | "skip" | "ended";

/**
 * Reads a tar stream pushed in chunks of any size, synchronously and without copying file data.
 *
 * tar-stream was judged first: it decodes PAX values as UTF-8, which destroys binary attributes such as
 * `security.capability`, and it knows no sparse files. Kinds understood: v7, ustar, GNU (long names, base-256, sparse),
 * PAX (all overrides that matter to a layer, sparse 0.0, 0.1, 1.0). PAX global headers are skipped, as Docker does.
 */
export class TarReader {
  readonly #handler: TarHandler;
  #state: State = "header";
  readonly #block = Buffer.alloc(blockSize);
  #blockFill = 0;

  #metadata: Buffer = Buffer.alloc(0);
  #metadataFill = 0;
  #metadataFlag = "";
  /** Bytes of `skip`, or the padding after metadata or data. */
  #skipBytes = 0;

  #longPath: string | undefined;
  #longLinkPath: string | undefined;
  #pax: PaxOverrides | undefined;

  #header: TarHeader | undefined;
  #segments: SparseSegment[] = [];
  #segmentIndex = 0;
  #segmentDone = 0;
  #sparseParser: SparseMapParser | undefined;
  /** Bytes stored in the archive for this entry that are still to come. */
  #storedBytes = 0;
  #realSizeBytes = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Throws {@link TarFormatError}; the reader is of no use afterwards. */
  push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length) {
      switch (this.#state) {
        case "header":
        case "oldSparseMap":
        case "sparseMap":
          position = this.#takeBlock(chunk, position);
          break;
        case "metadata":
          position = this.#takeMetadata(chunk, position);
          break;
        case "data":
          position = this.#takeData(chunk, position);
          break;
        case "skip": {
          const length = Math.min(this.#skipBytes, chunk.length - position);
          position += length;
          this.#skipBytes -= length;
          if (this.#skipBytes === 0) this.#state = "header";
          break;
        }
        case "ended":
          return;
      }
    }
  }

  /** Call after the last chunk; throws when the archive stopped inside an entry. A missing end mark is forgiven. */
  finish(): void {
    const isBetweenEntries = this.#state === "header" && this.#blockFill === 0 && !this.#hasPendingOverrides();
    // Only padding is missing: the entry itself is whole, and several writers leave the padding of the last one out.
    const isInPadding = this.#state === "skip" && this.#skipBytes < blockSize;
    if (!isBetweenEntries && !isInPadding && this.#state !== "ended") {
      throw new TarFormatError("the archive ends in the middle of an entry");
    }
  }

  #hasPendingOverrides(): boolean {
    return this.#longPath !== undefined || this.#longLinkPath !== undefined || this.#pax !== undefined;
  }

  #takeBlock(chunk: Buffer, position: number): number {
    if (this.#blockFill === 0 && chunk.length - position >= blockSize) {
      this.#onBlock(chunk.subarray(position, position + blockSize));
      return position + blockSize;
    }
    const length = Math.min(blockSize - this.#blockFill, chunk.length - position);
    chunk.copy(this.#block, this.#blockFill, position, position + length);
    this.#blockFill += length;
    if (this.#blockFill === blockSize) {
      this.#blockFill = 0;
      this.#onBlock(this.#block);
    }
    return position + length;
  }

  #onBlock(block: Buffer): void {
    if (this.#state === "header") this.#onHeader(block);
    else if (this.#state === "oldSparseMap") this.#onOldSparseMap(block);
    else this.#onSparseMap(block);
  }

  #onHeader(block: Buffer): void {
    if (block[0] === 0 && isZero(block)) {
      // One zero block ends it, as for GNU tar; what follows is padding.
      if (this.#hasPendingOverrides()) throw new TarFormatError("the archive ends in the middle of an entry");
      this.#state = "ended";
      return;
    }
    const header = parseTarHeader(block);
    if (header.sizeBytes < 0) throw new TarFormatError("an entry's size is negative");
    switch (header.typeFlag) {
      case "x":
      case "L":
      case "K":
        if (header.sizeBytes > maxMetadataBytes) throw new TarFormatError("an extended header is larger than 1 MiB");
        this.#metadata = Buffer.alloc(header.sizeBytes);
        this.#metadataFill = 0;
        this.#metadataFlag = header.typeFlag;
        this.#state = "metadata";
        if (header.sizeBytes === 0) this.#onMetadata();
        return;
      case "g":
      case "V":
        this.#skip(padded(header.sizeBytes));
        return;
      default:
        this.#header = header;
        this.#beginEntry(header, block);
    }
  }

  #takeMetadata(chunk: Buffer, position: number): number {
    const length = Math.min(this.#metadata.length - this.#metadataFill, chunk.length - position);
    chunk.copy(this.#metadata, this.#metadataFill, position, position + length);
    this.#metadataFill += length;
    if (this.#metadataFill === this.#metadata.length) this.#onMetadata();
    return position + length;
  }

  #onMetadata(): void {
    const body = this.#metadata;
    if (this.#metadataFlag === "x") {
      this.#pax = parsePax(body);
    } else {
      const end = body.indexOf(0);
      const text = body.toString("latin1", 0, end < 0 ? body.length : end);
      if (this.#metadataFlag === "L") this.#longPath = text;
      else this.#longLinkPath = text;
    }
    this.#skip(padded(body.length) - body.length);
  }

  #beginEntry(header: TarHeader, block: Buffer): void {
    const pax = this.#pax;
    this.#segments = [];
    this.#storedBytes = pax?.sizeBytes ?? header.sizeBytes;
    this.#realSizeBytes = this.#storedBytes;
    if (header.typeFlag === "S") {
      this.#realSizeBytes = readTarNumber(block, 483, 12, "real size");
      if (this.#realSizeBytes < 0) throw new TarFormatError("an entry's size is negative");
      readOldGnuSegments(block, 386, 4, this.#segments);
      if (block[482] !== 0) this.#state = "oldSparseMap";
      else this.#emitEntry();
    } else if (pax?.sparseMapInData === true) {
      this.#realSizeBytes = sparseSize(pax);
      this.#sparseParser = new SparseMapParser();
      this.#state = "sparseMap";
    } else if (pax?.sparseMap !== undefined) {
      this.#realSizeBytes = sparseSize(pax);
      this.#segments = pax.sparseMap;
      this.#emitEntry();
    } else {
      this.#segments = [{ offset: 0, lengthBytes: this.#storedBytes }];
      this.#emitEntry();
    }
  }

  #onOldSparseMap(block: Buffer): void {
    readOldGnuSegments(block, 0, 21, this.#segments);
    if (this.#segments.length > maxSparseSegments) throw new TarFormatError("a sparse map is too long");
    if (block[504] === 0) this.#emitEntry();
  }

  #onSparseMap(block: Buffer): void {
    this.#storedBytes -= blockSize;
    if (this.#storedBytes < 0) throw new TarFormatError("a sparse map is longer than its entry");
    const segments = this.#sparseParser?.push(block);
    if (segments === undefined) return;
    this.#sparseParser = undefined;
    this.#segments = segments;
    this.#emitEntry();
  }

  #emitEntry(): void {
    const header = this.#header;
    if (header === undefined) throw new TarFormatError("data without a header");
    const pax = this.#pax;
    const path = pax?.sparsePath ?? pax?.path ?? this.#longPath ?? header.path;
    const type = typeOfFlag[header.typeFlag];
    if (type === undefined) {
      throw new TarFormatError(`entry ${JSON.stringify(path)} is of unknown type ${JSON.stringify(header.typeFlag)}`);
    }
    // Before there were directories of their own type, a slash at the end made one.
    const isOldDirectory = type === "file" && path.endsWith("/");
    const isFile = type === "file" && !isOldDirectory;
    if (isFile) checkSparseMap(this.#segments, this.#storedBytes, this.#realSizeBytes);
    this.#handler.entry({
      type: isOldDirectory ? "directory" : type,
      path,
      linkPath:
        type === "hardLink" || type === "symbolicLink" ? (pax?.linkPath ?? this.#longLinkPath ?? header.linkPath) : "",
      mode: header.mode & 0o7777,
      uid: pax?.uid ?? header.uid,
      gid: pax?.gid ?? header.gid,
      mtimeSeconds: pax?.mtimeSeconds ?? header.mtimeSeconds,
      mtimeNanoseconds: pax?.mtimeNanoseconds ?? 0,
      sizeBytes: isFile ? this.#realSizeBytes : 0,
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      extendedAttributes: pax?.extendedAttributes ?? [],
    });
    this.#pax = undefined;
    this.#longPath = undefined;
    this.#longLinkPath = undefined;
    // Links, devices and directories have no data whatever their header says (as Go's archive/tar reads them).
    if (type !== "file") return this.#skip(0);
    if (isOldDirectory) return this.#skip(padded(this.#storedBytes));
    this.#segmentIndex = 0;
    this.#segmentDone = 0;
    this.#skipBytes = padded(this.#storedBytes) - this.#storedBytes;
    this.#state = "data";
    if (this.#storedBytes === 0) this.#skip(this.#skipBytes);
  }

  #takeData(chunk: Buffer, position: number): number {
    let segment = this.#segments[this.#segmentIndex];
    while (segment !== undefined && this.#segmentDone === segment.lengthBytes) {
      this.#segmentIndex++;
      this.#segmentDone = 0;
      segment = this.#segments[this.#segmentIndex];
    }
    if (segment === undefined) throw new TarFormatError("a sparse map does not fit its data");
    const length = Math.min(segment.lengthBytes - this.#segmentDone, chunk.length - position);
    this.#handler.data(chunk.subarray(position, position + length), segment.offset + this.#segmentDone);
    this.#segmentDone += length;
    this.#storedBytes -= length;
    if (this.#storedBytes === 0) this.#skip(this.#skipBytes);
    return position + length;
  }

  #skip(sizeBytes: number): void {
    this.#skipBytes = sizeBytes;
    this.#state = sizeBytes === 0 ? "header" : "skip";
  }
}

function sparseSize(pax: PaxOverrides): number {
  if (pax.sparseSizeBytes === undefined) throw new TarFormatError("a sparse file has no size");
  return pax.sparseSizeBytes;
}

function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / blockSize) * blockSize;
}

const zeroBlock = Buffer.alloc(blockSize);
function isZero(block: Buffer): boolean {
  return zeroBlock.equals(block);
}
