import type { NftCommand } from "./host-commands.ts";
import { gatewayAddress, natLinkName } from "./names.ts";
import { accept, concat, ctState, drop, match, meta, NftTable, payload } from "./nft-expressions.ts";
import type { Port } from "./port.ts";

/** Connections one VPC may have through its way out: the host tracks them all in one table, shared by every VPC. */
const maxNatConnections = 16_384;

const ip = new NftTable("inet", "isopod");
const arp = new NftTable("arp", "isopod");

/**
 * The whole packet filter of a VPC's router. Everything is dropped but:
 * - ARP requests for the gateway, from a port's own address and MAC;
 * - IPv4 from a port's own address and MAC, to a port of the VPC, to the gateway (echo request only), or out.
 * Rules are constant; a port is an element of three sets. A packet's source is judged before routing, so that the
 * chains after it may trust the address of whatever did not come in by the way out.
 */
export function vpcRuleset(ports: readonly Port[], natAddress: string | undefined): readonly NftCommand[] {
  const isFromPort = match(meta("iifname"), natLinkName, "!=");
  const isToPort = match(concat(meta("oifname"), payload("ip", "daddr")), "@destinations");
  const isIpv4 = match(meta("nfproto"), "ipv4");
  return [
    ...arp.replace(),
    arp.set("sources", ["ifname", "ether_addr", "ipv4_addr"]),
    arp.baseChain("input", "filter", "input", 0, "drop"),
    arp.rule(
      "input",
      match(payload("arp", "operation"), "request"),
      match(payload("arp", "daddr ip"), gatewayAddress),
      match(concat(meta("iifname"), payload("arp", "saddr ether"), payload("arp", "saddr ip")), "@sources"),
      accept,
    ),

    ...ip.replace(),
    ip.set("sources", ["ifname", "ether_addr", "ipv4_addr"]),
    ip.set("destinations", ["ifname", "ipv4_addr"]),

    // Priority `raw`: before connection tracking, so that a forged packet costs nothing more.
    ip.baseChain("prerouting", "filter", "prerouting", -300, "drop"),
    ip.rule(
      "prerouting",
      match(concat(meta("iifname"), payload("ether", "saddr"), payload("ip", "saddr")), "@sources"),
      accept,
    ),

    ip.baseChain("input", "filter", "input", 0, "drop"),
    ip.rule(
      "input",
      isFromPort,
      match(payload("ip", "daddr"), gatewayAddress),
      match(payload("icmp", "type"), "echo-request"),
      accept,
    ),

    ip.baseChain("forward", "filter", "forward", 0, "drop"),
    ip.rule("forward", isFromPort, isToPort, accept),

    // Connection tracking costs every packet something; a VPC without a way out has none.
    ...(natAddress === undefined
      ? []
      : [
          ip.rule("prerouting", match(meta("iifname"), natLinkName), isIpv4, accept),
          ip.rule("forward", match(meta("iifname"), natLinkName), isToPort, ctState("established", "related"), accept),
          ip.rule(
            "forward",
            match(meta("oifname"), natLinkName),
            ctState("new"),
            { "ct count": { val: maxNatConnections, inv: true } },
            drop,
          ),
          // What tracking finds invalid is not translated: it would leave under an address of the VPC.
          ip.rule(
            "forward",
            isFromPort,
            match(meta("oifname"), natLinkName),
            isIpv4,
            ctState("new", "established", "related"),
            accept,
          ),
          ip.baseChain("postrouting", "nat", "postrouting", 100, "accept"),
          ip.rule("postrouting", match(meta("oifname"), natLinkName), { snat: { family: "ip", addr: natAddress } }),
        ]),
    ...addPorts(ports),
  ];
}

export function addPorts(ports: readonly Port[]): readonly NftCommand[] {
  return [
    ...arp.addElements("sources", ports.map(sourceOf)),
    ...ip.addElements("sources", ports.map(sourceOf)),
    ...ip.addElements("destinations", ports.map(destinationOf)),
  ];
}

export function removePorts(ports: readonly Port[]): readonly NftCommand[] {
  return [
    ...arp.removeElements("sources", ports.map(sourceOf)),
    ...ip.removeElements("sources", ports.map(sourceOf)),
    ...ip.removeElements("destinations", ports.map(destinationOf)),
  ];
}

function sourceOf(port: Port): unknown {
  return concat(port.tapName, port.macAddress, port.address);
}

function destinationOf(port: Port): unknown {
  return concat(port.tapName, port.address);
}
