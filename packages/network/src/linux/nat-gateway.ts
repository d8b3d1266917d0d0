import type { Logger } from "@isopod/base";
import { type Cidr, formatAddress } from "../cidr.ts";
import { NetworkError } from "../network-error.ts";
import type { HostCommands } from "./host-commands.ts";
import { type HostChains, hostRuleset, hostTable, parseChains } from "./host-ruleset.ts";
import { disableIpv6, hostInterfaces, isForwarding, setForwarding } from "./host-sysctls.ts";
import { hostLinkName, hostLinkNamePrefix, mtu, natLinkName, natMacAddress, natNextHopMacAddress } from "./names.ts";
import { chooseNatAddress, type PoolRoute, parsePoolRoutes } from "./nat-addresses.ts";
import { SerialQueue } from "./serial-queue.ts";

export interface NatGatewayOptions {
  readonly installation: string;
  readonly commands: HostCommands;
  readonly logger: Logger;
  /** Addresses the VPCs' ways out are known by on the host. */
  readonly pool: Cidr;
  /** Interface that leads out; default: those with a default route. */
  readonly uplink: string | undefined;
}

/** Tries before another installation that takes the same addresses at the same moments is held to be a bug. */
const addressAttempts = 4;

/**
 * The ways out of the VPCs: for each a veth pair into its namespace and one address of the pool, unique on the host,
 * to which the VPC's router translates first. So overlapping VPCs are told apart before the host translates again.
 * The host's end has no address of its own and answers no ARP: both ends know each other by permanent entries.
 */
export class NatGateway {
  readonly #options: NatGatewayOptions;
  readonly #queue = new SerialQueue();

  constructor(options: NatGatewayOptions) {
    this.#options = options;
  }

  /** Makes or repairs the way out of the VPC in `namespace` and returns its address on the host. */
  async open(namespace: string): Promise<string> {
    return await this.#queue.run(async () => await this.#open(namespace));
  }

  /** The host's end of the VPC's way out, if there is one. */
  async linkOf(namespace: string): Promise<string | undefined> {
    const link = hostLinkName(this.#options.installation, namespace);
    return (await hostInterfaces()).find((name) => name === link);
  }

  /** To be called when a host end may have gone: with the last one goes everything on the host. */
  async closeIfUnused(): Promise<void> {
    await this.#queue.run(async () => {
      const { commands, installation } = this.#options;
      const prefix = hostLinkNamePrefix(installation);
      if ((await hostInterfaces()).some((name) => name.startsWith(prefix))) return;
      const chains = await this.#chains();
      if (!chains.hasTable) return;
      // Another installation on this host needs forwarding as much as we did.
      if (chains.hasOpenedForwarding && chains.otherInstallations.length === 0) {
        for (const uplink of await this.#uplinks()) await setForwarding(uplink, false);
      }
      await commands.nft("removing the host's NAT rules", installation, hostTable(installation).remove());
    });
  }

  async #open(namespace: string): Promise<string> {
    const link = hostLinkName(this.#options.installation, namespace);
    for (let attempt = 1; ; attempt++) {
      const routes = await this.#poolRoutes();
      const own = routes.find((route) => route.device === link);
      const address = own === undefined ? this.#chooseAddress(routes, namespace) : formatAddress(own.network);
      // Rules before the link: there is no moment at which the host can be reached through it.
      await this.#applyRules([...this.#addressesOf(routes), address]);
      try {
        await this.#link(namespace, link, address, own !== undefined);
        return address;
      } catch (error) {
        // Another installation took the address between the look and the leap: `route add` lets one of us win.
        const isTaken = error instanceof NetworkError && error.message.includes("File exists");
        if (!isTaken || attempt === addressAttempts) throw error;
      }
    }
  }

  async #link(namespace: string, link: string, address: string, hasRoute: boolean): Promise<void> {
    const hasLink = (await this.linkOf(namespace)) !== undefined;
    await this.#options.commands.ipBatch("opening the way out", namespace, [
      ...(hasLink ? [] : [`link add ${link} type veth peer name ${natLinkName} netns ${namespace}`]),
      `link set dev ${link} address ${natNextHopMacAddress} mtu ${mtu} up`,
      ...(hasRoute ? [] : [`route add ${address}/32 dev ${link}`]),
      `neighbour replace ${address} lladdr ${natMacAddress} dev ${link} nud permanent`,
    ]);
    await disableIpv6(link);
    await setForwarding(link, true);
  }

  async #applyRules(natAddresses: readonly string[]): Promise<void> {
    const { commands, installation, logger } = this.#options;
    const chains = await this.#chains();
    const uplinks = await this.#uplinks();
    if (uplinks.length === 0) {
      throw new NetworkError("the host has no default route, so NAT has no way out", {
        code: "NoUplink",
        object: installation,
        remedy: "Give the host a default route, or name the interface that leads out as the uplink.",
      });
    }
    if (!chains.hasTable && chains.droppingChains.length > 0) {
      logger.warn(
        { chains: chains.droppingChains, uplinks, interfaces: `${hostLinkNamePrefix(installation)}*` },
        "another firewall of this host drops forwarded packets: allow them there between uplinks and interfaces, or NAT will not work",
      );
    }
    let hasOpenedForwarding = chains.hasOpenedForwarding;
    for (const uplink of uplinks) hasOpenedForwarding = !(await isForwarding(uplink)) || hasOpenedForwarding;
    const rules = { installation, uplinks, natAddresses: [...new Set(natAddresses)], hasOpenedForwarding };
    await commands.nft("applying the host's NAT rules", installation, hostRuleset(rules));
    for (const uplink of uplinks) await setForwarding(uplink, true);
  }

  #chooseAddress(routes: readonly PoolRoute[], namespace: string): string {
    const { pool, installation } = this.#options;
    const address = chooseNatAddress(pool, routes, `${installation} ${namespace}`);
    if (address !== undefined) return address;
    throw new NetworkError("the pool of NAT addresses has no free one", {
      code: "AddressInUse",
      object: namespace,
      remedy: "Choose a larger pool that the host has no routes into.",
    });
  }

  #addressesOf(routes: readonly PoolRoute[]): readonly string[] {
    const prefix = hostLinkNamePrefix(this.#options.installation);
    return routes
      .filter(({ device }) => device?.startsWith(prefix) === true)
      .map(({ network }) => formatAddress(network));
  }

  async #poolRoutes(): Promise<readonly PoolRoute[]> {
    const { commands, installation, pool } = this.#options;
    const within = `${formatAddress(pool.network)}/${pool.prefixLength}`;
    return parsePoolRoutes(
      await commands.ipQuery(
        "reading the host's routes",
        installation,
        "-4 route show table all root".split(" ").concat(within),
      ),
    );
  }

  async #chains(): Promise<HostChains> {
    const { commands, installation } = this.#options;
    return parseChains(
      await commands.nftList("reading the host's packet filter", installation, ["chains"]),
      installation,
    );
  }

  async #uplinks(): Promise<readonly string[]> {
    const { commands, installation, uplink } = this.#options;
    if (uplink !== undefined) return [uplink];
    const routes = await commands.ipQuery(
      "reading the host's default route",
      installation,
      "-4 route show default".split(" "),
    );
    const devices = routes.flatMap((route) => {
      return typeof route === "object" && route !== null && "dev" in route && typeof route.dev === "string"
        ? [route.dev]
        : [];
    });
    return [...new Set(devices)];
  }
}
