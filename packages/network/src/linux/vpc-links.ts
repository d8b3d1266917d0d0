import {
  gatewayAddress,
  gatewayMacAddress,
  mtu,
  natLinkName,
  natMacAddress,
  natNextHopAddress,
  natNextHopMacAddress,
} from "./names.ts";
import { type KnownPort, openAlias, type Port, portFromAlias, type Tap, tapAlias } from "./port.ts";

/**
 * What makes a namespace a router. `default` is inherited by every device made later, so that taps need none.
 * Reverse path filtering stands behind the packet filter's source check; IPv6 is off until it is done properly,
 * because its link-local addresses would walk around every IPv4 rule.
 */
export const routerSysctls: Readonly<Record<string, string>> = Object.freeze({
  "net/ipv6/conf/all/disable_ipv6": "1",
  "net/ipv6/conf/default/disable_ipv6": "1",
  "net/ipv4/conf/all/rp_filter": "1",
  "net/ipv4/conf/default/rp_filter": "1",
  "net/ipv4/conf/all/send_redirects": "0",
  "net/ipv4/conf/default/send_redirects": "0",
  "net/ipv4/conf/all/accept_redirects": "0",
  "net/ipv4/conf/default/accept_redirects": "0",
  "net/ipv4/conf/all/accept_source_route": "0",
  "net/ipv4/ip_forward": "1",
});

/** Lines of `ip -batch` that every VPC needs once; running them again changes nothing. */
export function routerLines(cidr: string, natAddress: string | undefined): readonly string[] {
  const lines = [
    "link set dev lo up",
    // On the loopback device once: the kernel answers ARP for it on every tap.
    `address replace ${gatewayAddress}/32 dev lo`,
    // An address of the VPC that no interface has must end here, and never leave by the default route.
    "route flush type unreachable",
    `route replace unreachable ${cidr}`,
  ];
  if (natAddress === undefined) return lines;
  return [
    ...lines,
    // Link-local services of the host's own network (a cloud's metadata service) are not for instances.
    "route replace unreachable 169.254.0.0/16",
    `link set dev ${natLinkName} address ${natMacAddress} mtu ${mtu} up`,
    `address replace ${natAddress}/32 dev ${natLinkName}`,
    `neighbour replace ${natNextHopAddress} lladdr ${natNextHopMacAddress} dev ${natLinkName} nud permanent`,
    `route replace default via ${natNextHopAddress} dev ${natLinkName} onlink`,
  ];
}

/** Lines that make a tap, which is down: a VM may have it, and nothing passes it. {@link recordLine} is to follow. */
export function tapLines({ tapName, userId }: Tap): readonly string[] {
  return [
    `tuntap add dev ${tapName} mode tap vnet_hdr user ${userId}`,
    `link set dev ${tapName} address ${gatewayMacAddress} mtu ${mtu}`,
  ];
}

/** The line that says that the tap is made; the last of its batch. */
export function recordLine(tap: Tap): string {
  return `link set dev ${tap.tapName} alias ${tapAlias(tap)}`;
}

/** Lines that open a port once the packet filter knows it; running them again changes nothing. */
export function openLines(port: Port): readonly string[] {
  return [
    `link set dev ${port.tapName} up`,
    `route replace ${port.address}/32 dev ${port.tapName}`,
    `neighbour replace ${port.address} lladdr ${port.macAddress} dev ${port.tapName} nud permanent`,
    `link set dev ${port.tapName} alias ${openAlias(port)}`,
  ];
}

export interface VpcLinks {
  readonly ports: readonly KnownPort[];
  /** Taps a crash left without their alias. */
  readonly unfinishedTaps: readonly string[];
}

/** Reads what `ip -j link show` prints in a VPC's namespace. */
export function parseLinks(links: readonly unknown[]): VpcLinks {
  const ports: KnownPort[] = [];
  const unfinishedTaps: string[] = [];
  for (const link of links) {
    if (typeof link !== "object" || link === null || !("ifname" in link)) continue;
    const name = link.ifname;
    if (typeof name !== "string" || !name.startsWith("tap")) continue;
    const alias = "ifalias" in link && typeof link.ifalias === "string" ? link.ifalias : "";
    const port = portFromAlias(name, alias);
    if (port === undefined) unfinishedTaps.push(name);
    else ports.push(port);
  }
  return { ports, unfinishedTaps };
}
