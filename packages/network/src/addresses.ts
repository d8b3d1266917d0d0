import { type Cidr, cidrContains, cidrsOverlap, parseAddress, parseCidr } from "./cidr.ts";
import { NetworkError } from "./network-error.ts";

/** Networks that mean something else to every IPv4 host; a VPC inside one would not work. */
const unusableNetworks: readonly (readonly [string, string])[] = [
  ["0.0.0.0/8", "this network"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local, where the gateway lives"],
  ["224.0.0.0/3", "multicast and reserved"],
];

/** The network of a VPC: /8 to /30 and none of the ranges with a meaning of their own. Throws `InvalidSpec`. */
export function parseVpcCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr.prefixLength < 8 || cidr.prefixLength > 30) {
    throw new NetworkError(`the VPC network ${text} is not between /8 and /30`, {
      code: "InvalidSpec",
      object: text,
      remedy: "Choose a network of another size, for example 10.64.0.0/16.",
    });
  }
  for (const [network, meaning] of unusableNetworks) {
    if (!cidrsOverlap(cidr, network)) continue;
    throw new NetworkError(`the VPC network ${text} overlaps ${network} (${meaning})`, {
      code: "InvalidSpec",
      object: text,
      remedy: "Choose a private network, for example 10.64.0.0/16.",
    });
  }
  return cidr;
}

/**
 * True when an interface of the VPC may have the address: inside the network, neither its first (network) nor its
 * last (broadcast) address. The gateway is link-local, so it never is inside and takes no address of the VPC.
 */
export function isAssignable(cidr: string | Cidr, address: string): boolean {
  const network = typeof cidr === "string" ? parseVpcCidr(cidr) : cidr;
  const value = parseAddress(address);
  return (
    cidrContains(network, value) && value !== network.network && value !== network.network + network.addressCount - 1
  );
}
