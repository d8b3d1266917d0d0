import ipaddr from "ipaddr.js";
import { NetworkError } from "./network-error.ts";

/** An IPv4 network. Addresses are unsigned 32-bit integers here, so that arithmetic on them is plain. */
export interface Cidr {
  readonly network: number;
  readonly prefixLength: number;
  /** Number of addresses, network and broadcast address included. */
  readonly addressCount: number;
}

/** Throws `InvalidSpec` unless the text is a dotted quad without leading zeros. */
export function parseAddress(text: string): number {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text)) {
    throw new NetworkError(`"${text}" is not an IPv4 address`, {
      code: "InvalidSpec",
      object: text,
      remedy: "Write it as four decimal numbers, for example 10.64.0.7.",
    });
  }
  return ipaddr.IPv4.parse(text).octets.reduce((value, octet) => value * 256 + octet, 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** Throws `InvalidSpec` unless the text is a network in prefix notation whose host bits are zero. */
export function parseCidr(text: string): Cidr {
  const match = /^([0-9.]+)\/([0-9]|[12][0-9]|3[0-2])$/.exec(text);
  if (match === null) throw invalidCidr(text, "is not an IPv4 network");
  const network = parseAddress(match[1] ?? "");
  const prefixLength = Number(match[2]);
  const addressCount = 2 ** (32 - prefixLength);
  if (network % addressCount !== 0) {
    const proper = `${formatAddress(network - (network % addressCount))}/${prefixLength}`;
    throw invalidCidr(text, `has host bits set; the network is ${proper}`);
  }
  return { network, prefixLength, addressCount };
}

function invalidCidr(text: string, why: string): NetworkError {
  return new NetworkError(`"${text}" ${why}`, {
    code: "InvalidSpec",
    object: text,
    remedy: "Write it as network/prefix, for example 10.64.0.0/16.",
  });
}

export function cidrContains(cidr: Cidr, address: number): boolean {
  return address >= cidr.network && address < cidr.network + cidr.addressCount;
}

/** True when the two networks share an address. */
export function cidrsOverlap(a: string | Cidr, b: string | Cidr): boolean {
  const left = typeof a === "string" ? parseCidr(a) : a;
  const right = typeof b === "string" ? parseCidr(b) : b;
  return cidrContains(left, right.network) || cidrContains(right, left.network);
}
