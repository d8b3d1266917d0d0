import { createHash } from "node:crypto";
import type { InterfaceSpec, VpcSpec } from "../contract.ts";

export function vpcSpec(name: string, hasNat = false): VpcSpec {
  return { name, uid: `uid-of-${name}`, cidr: "10.64.0.0/16", hasNat };
}

/** The interface of `vpc` whose address ends in `number`. */
export function interfaceSpec(vpc: VpcSpec, number: number): InterfaceSpec {
  const id = `${vpc.name}/${number}`;
  const hash = createHash("sha256").update(id).digest("hex");
  const macAddress = `02:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}:${hash.slice(6, 8)}:${hash.slice(8, 10)}`;
  return { id, vpc, address: `10.64.0.${number}`, macAddress, userId: 200_000 + number };
}
