import { isAssignable, parseVpcCidr } from "./addresses.ts";
import type { InterfaceSpec, TapSpec, VpcSpec } from "./contract.ts";
import { NetworkError } from "./network-error.ts";

/** The VPC's name becomes part of a file name, its uid is hashed. Throws `InvalidSpec`. */
export function checkVpc(vpc: VpcSpec): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(vpc.name)) {
    throw invalid(
      `the VPC name "${vpc.name}" is not a DNS-1123 label`,
      vpc.name,
      "Use lower-case letters, digits and dashes.",
    );
  }
  if (vpc.uid.length === 0 || vpc.uid.length > 128) {
    throw invalid(
      `the uid of VPC ${vpc.name} is not 1 to 128 characters long`,
      vpc.name,
      "Pass the uid of the VPC object.",
    );
  }
  parseVpcCidr(vpc.cidr);
}

/** Everything that reaches a command line or the kernel passes through here. Throws `InvalidSpec`. */
export function checkTap(spec: TapSpec): void {
  // 128 characters of these leave room in the tap's alias, which holds 255 and separates its fields by commas.
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/.test(spec.id)) {
    throw invalid(`the interface id "${spec.id}" is not valid`, spec.id, "Use at most 128 letters, digits and ._:/-.");
  }
  checkVpc(spec.vpc);
  // 2^32 - 1 means "no user" to the kernel; root would give the tap to everybody's superuser.
  if (!Number.isInteger(spec.userId) || spec.userId < 1 || spec.userId >= 2 ** 32 - 1) {
    throw invalid(
      `the user id ${spec.userId} of interface ${spec.id} is not valid`,
      spec.id,
      "Pass the instance's own user id.",
    );
  }
}

/** As {@link checkTap}, with its address and MAC. */
export function checkInterface(spec: InterfaceSpec): void {
  checkTap(spec);
  if (!isAssignable(parseVpcCidr(spec.vpc.cidr), spec.address)) {
    throw invalid(
      `no interface of VPC ${spec.vpc.name} (${spec.vpc.cidr}) can have the address ${spec.address}`,
      spec.id,
      "Take an address inside the VPC's network that is neither its first nor its last.",
    );
  }
  const firstOctet = Number.parseInt(spec.macAddress.slice(0, 2), 16);
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(spec.macAddress) || (firstOctet & 1) === 1) {
    throw invalid(
      `"${spec.macAddress}" is not a unicast MAC address in lower case`,
      spec.id,
      "Use a unicast, locally administered one, as in 02:00:00:00:00:01.",
    );
  }
}

function invalid(message: string, object: string, remedy: string): NetworkError {
  return new NetworkError(message, { code: "InvalidSpec", object, remedy });
}
