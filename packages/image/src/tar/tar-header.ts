import { TarFormatError } from "./tar-entry.ts";
import { readTarNumber } from "./tar-number.ts";

/** The fields of one 512-byte header, before long names and PAX records are applied. */
export interface TarHeader {
  readonly typeFlag: string;
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export function parseTarHeader(block: Buffer): TarHeader {
  checkSum(block);
  const magic = block.toString("latin1", 257, 263);
  const isUstar = magic === "ustar\0";
  const isGnu = magic === "ustar ";
  const typeFlag = block.toString("latin1", 156, 157);
  const prefix = isUstar ? cString(block, 345, 155) : "";
  const name = cString(block, 0, 100);
  const hasDevice = (isUstar || isGnu) && (typeFlag === "3" || typeFlag === "4");
  return {
    typeFlag,
    path: prefix === "" ? name : `${prefix}/${name}`,
    linkPath: cString(block, 157, 100),
    mode: readTarNumber(block, 100, 8, "mode"),
    uid: readTarNumber(block, 108, 8, "uid"),
    gid: readTarNumber(block, 116, 8, "gid"),
    sizeBytes: readTarNumber(block, 124, 12, "size"),
    mtimeSeconds: readTarNumber(block, 136, 12, "mtime"),
    deviceMajor: hasDevice ? readTarNumber(block, 329, 8, "device") : 0,
    deviceMinor: hasDevice ? readTarNumber(block, 337, 8, "device") : 0,
  };
}

function cString(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString("latin1", offset, end < 0 || end > offset + length ? offset + length : end);
}

/** The sum of all bytes with the field itself as spaces; some old writers summed signed bytes. */
function checkSum(block: Buffer): void {
  const stored = readTarNumber(block, 148, 8, "checksum");
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let index = 0; index < 512; index++) {
    if (index === 148) index = 156;
    const byte = block[index] ?? 0;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (stored !== unsigned && stored !== signed) throw new TarFormatError("a header's checksum is wrong");
}
