import { createHash } from "node:crypto";
import { NetworkError } from "../network-error.ts";

/** Where `ip netns` binds namespaces. */
export const namespaceDirectory = "/run/netns";

/** The gateway every instance has: the same address and MAC on every tap. */
export const gatewayAddress = "169.254.1.1";
export const gatewayMacAddress = "02:00:a9:fe:01:01";

/** From the first instance, so that an overlay's 50 bytes never have to be taken away later. */
export const mtu = 1450;

/** The VPC's end of the way out, and its next hop; neither is ever asked for by ARP. */
export const natLinkName = "nat0";
export const natMacAddress = "02:00:a9:fe:01:03";
export const natNextHopAddress = "169.254.1.2";
export const natNextHopMacAddress = "02:00:a9:fe:01:02";

/** Host ends of all installations begin so; no other interface does. */
export const hostLinkPrefix = "isn";

function digest(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}

/** Throws `InvalidSpec`: the installation's id is part of names with little room. */
export function checkInstallation(installation: string): void {
  if (/^[a-z0-9]{1,16}$/.test(installation)) return;
  throw new NetworkError(`the installation id "${installation}" is not valid`, {
    code: "InvalidSpec",
    object: installation,
    remedy: "Use 1 to 16 lower-case letters and digits.",
  });
}

export function namespacePrefix(installation: string): string {
  return `isopod-${installation}-`;
}

/** The uid makes the name unique: a VPC deleted and made again under its old name is another network. */
export function namespaceName(installation: string, vpcName: string, vpcUid: string): string {
  return `${namespacePrefix(installation)}${vpcName}-${digest(vpcUid, 10)}`;
}

/** 15 characters, all the kernel allows. */
export function tapName(interfaceId: string): string {
  return `tap${digest(interfaceId, 12)}`;
}

/** Begin of the host ends of one installation, for `iifname "isn…*"`. */
export function hostLinkNamePrefix(installation: string): string {
  return `${hostLinkPrefix}${digest(installation, 4)}`;
}

export function hostLinkName(installation: string, namespace: string): string {
  return `${hostLinkNamePrefix(installation)}${digest(namespace, 8)}`;
}

export function hostTableName(installation: string): string {
  return `isopod_${installation}`;
}
