import { type ExtendedAttribute, TarFormatError } from "./tar-entry.ts";
import { readDecimal } from "./tar-number.ts";
import type { SparseSegment } from "./sparse.ts";

/** What the PAX records before an entry override; absent means: as in the header. */
export interface PaxOverrides {
  path?: string;
  /** The true name of a GNU sparse file; `path` is a placeholder then. */
  sparsePath?: string;
  linkPath?: string;
  sizeBytes?: number;
  uid?: number;
  gid?: number;
  mtimeSeconds?: number;
  mtimeNanoseconds?: number;
  extendedAttributes: ExtendedAttribute[];
  /** GNU sparse file, formats 0.0 and 0.1: the map is here. */
  sparseMap?: SparseSegment[];
  /** GNU sparse file, format 1.0: the map is at the start of the data. */
  sparseMapInData?: boolean;
  sparseSizeBytes?: number;
}

const xattrPrefix = "SCHILY.xattr.";

/** Parses the body of an `x` header: records of the form `length key=value\n`, values being bytes. */
export function parsePax(body: Buffer): PaxOverrides {
  const overrides: PaxOverrides = { extendedAttributes: [] };
  const offsets: number[] = [];
  const lengths: number[] = [];
  // By name, as a later one replaces an earlier one: one header has room for tens of thousands.
  const attributes = new Map<string, Uint8Array>();
  let position = 0;
  while (position < body.length) {
    const space = body.indexOf(0x20, position);
    if (space < 0 || space - position > 10) throw new TarFormatError("a PAX record has no length");
    const length = readDecimal(body.toString("latin1", position, space), "length");
    const end = position + length;
    const equals = body.indexOf(0x3d, space);
    if (end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new TarFormatError("a PAX record is damaged");
    }
    const key = body.toString("latin1", space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    // Copied: the body's memory is the reader's.
    if (key.startsWith(xattrPrefix)) attributes.set(key.slice(xattrPrefix.length), Uint8Array.from(value));
    else apply(overrides, key, value, offsets, lengths);
    position = end;
  }
  overrides.extendedAttributes = [...attributes].map(([name, bytes]) => ({ name, value: bytes }));
  if (offsets.length > 0) {
    if (offsets.length !== lengths.length) throw new TarFormatError("a sparse map is damaged");
    overrides.sparseMap = offsets.map((offset, index) => ({ offset, lengthBytes: lengths[index] ?? 0 }));
  }
  return overrides;
}

function apply(overrides: PaxOverrides, key: string, value: Buffer, offsets: number[], lengths: number[]): void {
  const text = value.toString("latin1");
  // An empty value takes nothing away from the header, as in Go's archive/tar, which wrote most layers.
  if (text === "") return;
  switch (key) {
    case "path":
      overrides.path = text;
      break;
    case "GNU.sparse.name":
      overrides.sparsePath = text;
      break;
    case "linkpath":
      overrides.linkPath = text;
      break;
    case "size":
      overrides.sizeBytes = readDecimal(text, key);
      break;
    case "uid":
      overrides.uid = readDecimal(text, key);
      break;
    case "gid":
      overrides.gid = readDecimal(text, key);
      break;
    case "mtime":
      applyTime(overrides, text);
      break;
    case "GNU.sparse.major":
      if (text === "1") overrides.sparseMapInData = true;
      else if (text !== "0") throw new TarFormatError(`sparse format ${text} is not known`);
      break;
    case "GNU.sparse.size":
    case "GNU.sparse.realsize":
      overrides.sparseSizeBytes = readDecimal(text, key);
      break;
    case "GNU.sparse.offset":
      offsets.push(readDecimal(text, key));
      break;
    case "GNU.sparse.numbytes":
      lengths.push(readDecimal(text, key));
      break;
    case "GNU.sparse.map":
      for (const [index, number] of text.split(",").entries()) {
        (index % 2 === 0 ? offsets : lengths).push(readDecimal(number, key));
      }
      break;
    default:
  }
}

/** Seconds with a fraction, negative before 1970; digits beyond nanoseconds are cut. */
function applyTime(overrides: PaxOverrides, text: string): void {
  const match = /^(-?)([0-9]{1,12})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw new TarFormatError("the PAX record mtime is not a time");
  const seconds = Number(match[2]);
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  const isNegative = match[1] === "-";
  // The fraction counts forward from the second: -1.25 is second -2 and 750 ms.
  overrides.mtimeSeconds = isNegative ? (nanoseconds === 0 ? -seconds : -seconds - 1) : seconds;
  overrides.mtimeNanoseconds = isNegative && nanoseconds !== 0 ? 1_000_000_000 - nanoseconds : nanoseconds;
  if (Object.is(overrides.mtimeSeconds, -0)) overrides.mtimeSeconds = 0;
}
