/** One entry to write; everything has a default, and nothing is checked: bad archives are wanted too. */
export interface TarSpec {
  readonly path: string;
  /** The type flag; default "5" when the path ends in a slash, else "0". */
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeSeconds?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Size in the header, when it is to lie. */
  readonly sizeBytes?: number;
  /** PAX records in front of the entry. */
  readonly pax?: Readonly<Record<string, Buffer | string>>;
}

/** Bytes of a tar archive in ustar format with PAX records; names and links are latin1 text. */
export function buildTar(specs: readonly TarSpec[]): Buffer {
  return Buffer.concat([...specs.flatMap(entryBlocks), Buffer.alloc(1024)]);
}

/** The same without the end mark, for archives that are built piece by piece. */
export function entryBlocks(spec: TarSpec): readonly Buffer[] {
  const content = Buffer.from(spec.content ?? "");
  const pax: Record<string, Buffer | string> = { ...spec.pax };
  if (spec.path.length > 100) pax["path"] ??= Buffer.from(spec.path, "latin1");
  if ((spec.link ?? "").length > 100) pax["linkpath"] ??= Buffer.from(spec.link ?? "", "latin1");
  const blocks: Buffer[] = [];
  if (Object.keys(pax).length > 0) {
    const body = Buffer.concat(Object.entries(pax).map(([key, value]) => paxRecord(key, Buffer.from(value))));
    blocks.push(header({ path: "PaxHeaders/x", type: "x" }, body.length), padded(body));
  }
  blocks.push(header(spec, spec.sizeBytes ?? content.length), padded(content));
  return blocks;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, "latin1"), value, Buffer.from("\n")]);
}

export function header(spec: TarSpec, sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(spec.path.slice(0, 100), 0, "latin1");
  number(block, 100, 8, spec.mode ?? (spec.path.endsWith("/") ? 0o755 : 0o644));
  number(block, 108, 8, spec.uid ?? 0);
  number(block, 116, 8, spec.gid ?? 0);
  number(block, 124, 12, sizeBytes);
  number(block, 136, 12, spec.mtimeSeconds ?? 0);
  block.write(spec.type ?? (spec.path.endsWith("/") ? "5" : "0"), 156, "latin1");
  block.write((spec.link ?? "").slice(0, 100), 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  number(block, 329, 8, spec.major ?? 0);
  number(block, 337, 8, spec.minor ?? 0);
  sealHeader(block);
  return block;
}

/** Writes the checksum. */
export function sealHeader(block: Buffer): void {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

/** Octal, or base-256 for what does not fit and for negative numbers. */
function number(block: Buffer, offset: number, length: number, value: number): void {
  const octal = value.toString(8);
  if (value >= 0 && octal.length < length) {
    block.write(octal.padStart(length - 1, "0"), offset, "latin1");
    return;
  }
  let rest = BigInt(value);
  for (let index = length - 1; index >= 0; index--) {
    block[offset + index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[offset] = value < 0 ? 0xff : (block[offset] ?? 0) | 0x80;
}

export function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}
