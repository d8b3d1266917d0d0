import type { NftCommand } from "./host-commands.ts";
import { hostLinkNamePrefix, hostLinkPrefix, hostTableName } from "./names.ts";
import { accept, ctState, drop, match, meta, type NftExpression, NftTable, payload } from "./nft-expressions.ts";

/** A chain without rules whose presence records that we switched forwarding on for the uplinks. */
const openedForwardingMark = "opened_forwarding";

export interface HostRules {
  readonly installation: string;
  /** Interfaces that lead out. */
  readonly uplinks: readonly string[];
  /** Addresses of the VPCs that have a way out. */
  readonly natAddresses: readonly string[];
  readonly hasOpenedForwarding: boolean;
}

/**
 * The host's side of every way out, in a table of our own. From a VPC, packets reach the uplinks and nothing else:
 * not the host's own addresses (input), not its other networks (forward). To a VPC come answers only.
 */
export function hostRuleset(rules: HostRules): readonly NftCommand[] {
  const table = hostTable(rules.installation);
  const fromVpc = match(meta("iifname"), `${hostLinkNamePrefix(rules.installation)}*`);
  const toVpc = match(meta("oifname"), `${hostLinkNamePrefix(rules.installation)}*`);
  const hasNatAddress = match(payload("ip", "saddr"), "@nat_addresses");
  const isUplink = (key: "iifname" | "oifname"): NftExpression => match(meta(key), { set: rules.uplinks });
  return [
    ...table.replace(),
    table.set("nat_addresses", ["ipv4_addr"]),
    ...table.addElements("nat_addresses", rules.natAddresses),

    table.baseChain("input", "filter", "input", 0, "accept"),
    table.rule("input", fromVpc, drop),

    table.baseChain("forward", "filter", "forward", 0, "accept"),
    // Valid packets only: the others would not be translated and show the outside an address of the pool.
    table.rule(
      "forward",
      fromVpc,
      isUplink("oifname"),
      hasNatAddress,
      ctState("new", "established", "related"),
      accept,
    ),
    table.rule("forward", fromVpc, drop),
    table.rule("forward", toVpc, isUplink("iifname"), ctState("established", "related"), accept),
    table.rule("forward", toVpc, drop),
    // A host that forwarded nothing before us must not become a router for its neighbours because of us.
    ...(rules.hasOpenedForwarding
      ? [
          table.chain(openedForwardingMark),
          table.rule("forward", isUplink("iifname"), match(meta("oifname"), `${hostLinkPrefix}*`, "!="), drop),
        ]
      : []),

    table.baseChain("postrouting", "nat", "postrouting", 100, "accept"),
    table.rule("postrouting", hasNatAddress, isUplink("oifname"), {
      masquerade: null,
    }),
  ];
}

export function hostTable(installation: string): NftTable {
  return new NftTable("inet", hostTableName(installation));
}

/** What `nft -j list chains` says that matters to us. */
export interface HostChains {
  readonly hasTable: boolean;
  readonly hasOpenedForwarding: boolean;
  /** Tables of other Isopod installations on this host. */
  readonly otherInstallations: readonly string[];
  /** Forward chains of others that drop by default, as `family table chain`: our accept does not overrule them. */
  readonly droppingChains: readonly string[];
}

export function parseChains(entries: readonly unknown[], installation: string): HostChains {
  const own = hostTableName(installation);
  const otherInstallations = new Set<string>();
  const droppingChains: string[] = [];
  let hasTable = false;
  let hasOpenedForwarding = false;
  for (const entry of entries) {
    if (typeof entry !== "object" || entry === null || !("chain" in entry)) continue;
    const chain = entry.chain;
    if (typeof chain !== "object" || chain === null || !("table" in chain) || !("name" in chain)) continue;
    const { table, name } = chain;
    if (typeof table !== "string" || typeof name !== "string") continue;
    if (table === own) {
      hasTable = true;
      hasOpenedForwarding ||= name === openedForwardingMark;
    } else if (table.startsWith(hostTableName(""))) {
      otherInstallations.add(table);
    } else if ("hook" in chain && chain.hook === "forward" && "policy" in chain && chain.policy === "drop") {
      droppingChains.push(`${"family" in chain ? String(chain.family) : "?"} ${table} ${name}`);
    }
  }
  return { hasTable, hasOpenedForwarding, otherInstallations: [...otherInstallations], droppingChains };
}
