import { macAddressFor } from "../addresses.ts";
import type { InterfaceSpec, VpcSpec } from "../contract.ts";

export function vpcSpec(name: string, hasNat = false): VpcSpec {
  return { name, uid: `uid-of-${name}`, cidr: "10.64.0.0/16", hasNat };
}

/** The interface of `vpc` whose address ends in `number`. */
export function interfaceSpec(vpc: VpcSpec, number: number): InterfaceSpec {
  const id = `${vpc.name}/${number}`;
  return { id, vpc, address: `10.64.0.${number}`, macAddress: macAddressFor(id), userId: 200_000 + number };
}
