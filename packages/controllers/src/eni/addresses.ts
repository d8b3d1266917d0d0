import { createHash } from "node:crypto";

function parseAddress(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/**
 * Addresses of a network in the order to try them: from `start` (any integer) around the whole network, without its
 * first (network), second (kept for a gateway) and last (broadcast).
 */
export function* candidateAddresses(cidr: string, start: number): Generator<string> {
  const [network = "", prefix = ""] = cidr.split("/");
  const base = parseAddress(network);
  const count = 2 ** (32 - Number(prefix)) - 3;
  for (let tried = 0; tried < count; tried++) yield formatAddress(base + 2 + ((start + tried) % count));
}

/** A locally administered unicast MAC that follows from the interface's identity. */
export function macAddressFor(seed: string): string {
  const digest = createHash("sha256").update(seed).digest();
  const bytes = [0x02, ...digest.subarray(0, 5)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
