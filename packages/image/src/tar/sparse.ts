import { TarFormatError } from "./tar-entry.ts";
import { readTarNumber } from "./tar-number.ts";

/** A run of a sparse file that has data; what lies between runs is a hole. */
export interface SparseSegment {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** More runs than this in one file are refused: the map lives in memory. */
export const maxSparseSegments = 1_000_000;

/** Reads the map entries of an old GNU header: 24 bytes each, until an empty one. */
export function readOldGnuSegments(block: Buffer, offset: number, count: number, into: SparseSegment[]): void {
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    if (block[at] === 0 || block[at + 12] === 0) return;
    into.push({
      offset: readTarNumber(block, at, 12, "sparse offset"),
      lengthBytes: readTarNumber(block, at + 12, 12, "sparse length"),
    });
  }
}

/** Runs must be in order, apart, inside the file, and together as long as the data stored. */
export function checkSparseMap(segments: readonly SparseSegment[], storedBytes: number, sizeBytes: number): void {
  let position = 0;
  let total = 0;
  for (const { offset, lengthBytes } of segments) {
    if (offset < position || lengthBytes < 0 || offset + lengthBytes > sizeBytes) {
      throw new TarFormatError("a sparse map is damaged");
    }
    position = offset + lengthBytes;
    total += lengthBytes;
  }
  if (total !== storedBytes) throw new TarFormatError("a sparse map does not fit its data");
}

/** The map of format 1.0: decimal numbers, one a line: the count, then offset and length of each run. */
export class SparseMapParser {
  #text = "";
  readonly #numbers: number[] = [];

  /** Takes one 512-byte block; gives the map when it was the last, else undefined. */
  push(block: Buffer): SparseSegment[] | undefined {
    const lines = (this.#text + block.toString("latin1")).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      if (this.#isComplete()) break;
      if (!/^[0-9]{1,16}$/.test(line)) throw new TarFormatError("a sparse map is damaged");
      this.#numbers.push(Number(line));
    }
    const count = this.#numbers[0];
    if (count !== undefined && count > maxSparseSegments) throw new TarFormatError("a sparse map is too long");
    if (!this.#isComplete()) {
      // A number that does not end would be gathered, and split anew, with every block.
      if (this.#text.length > 16) throw new TarFormatError("a sparse map is damaged");
      return undefined;
    }
    const segments: SparseSegment[] = [];
    for (let index = 1; index < this.#numbers.length; index += 2) {
      segments.push({ offset: this.#numbers[index] ?? 0, lengthBytes: this.#numbers[index + 1] ?? 0 });
    }
    return segments;
  }

  #isComplete(): boolean {
    const count = this.#numbers[0];
    return count !== undefined && this.#numbers.length === 1 + 2 * count;
  }
}
