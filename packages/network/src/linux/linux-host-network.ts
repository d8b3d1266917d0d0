import { describeError, type Logger, settleAll } from "@isopod/base";
import { cidrsOverlap, parseCidr } from "../cidr.ts";
import type { AttachedInterface, HostNetwork, InterfaceSpec, TapSpec, VpcSpec } from "../contract.ts";
import { checkInterface, checkTap } from "../interface-spec.ts";
import { NetworkError, notPermitted } from "../network-error.ts";
import type { RunCommand } from "./command-shells.ts";
import { HostCommands } from "./host-commands.ts";
import { checkInstallation, gatewayAddress, gatewayMacAddress, mtu, namespaceName, tapName } from "./names.ts";
import { listNamespaces, namespacePath } from "./namespaces.ts";
import { NatGateway } from "./nat-gateway.ts";
import { portOf, tapOf } from "./port.ts";
import { VpcRouter } from "./vpc-router.ts";

export interface HostNetworkOptions {
  /** 1 to 16 lower-case letters and digits: what two installations on one host differ by. */
  readonly installation: string;
  readonly logger: Logger;
  /** Interface through which VPCs with NAT reach the outside; default: those with a default route. */
  readonly uplink?: string;
  /** One address per VPC with NAT, seen on this host only; default `100.64.0.0/10`. Routes of others are avoided. */
  readonly natPool?: string;
  /**
   * How long a VPC's router stands after its last interface, for the next one to find: to make it costs a start 6 ms
   * until its tap is there and 15 until it is open, more with NAT, on a 2-core cloud VM. Default 0: it goes with the last interface.
   */
  readonly idleMs?: number;
  /** Runs the host's programs; for tests that count them. */
  readonly run?: RunCommand;
}

/**
 * The host's VPC networks, by iproute2 and nftables. One process at a time may have an installation's: at the start
 * it removes what a crash left unfinished. Throws `NetworkError` (`NotPermitted`, `MissingProgram`, `InvalidSpec`).
 */
export async function createHostNetwork(options: HostNetworkOptions): Promise<HostNetwork> {
  checkInstallation(options.installation);
  if (process.geteuid?.() !== 0) {
    throw notPermitted("only root can make networks on this host", options.installation);
  }
  const network = new LinuxHostNetwork(options);
  await network.recover();
  return network;
}

class LinuxHostNetwork implements HostNetwork {
  readonly #installation: string;
  readonly #logger: Logger;
  readonly #natPool: string;
  readonly #idleMs: number;
  readonly #commands: HostCommands;
  readonly #nat: NatGateway;
  readonly #routers = new Map<string, VpcRouter>();
  /** Namespace of each interface this process has seen. */
  readonly #namespaceOf = new Map<string, string>();
  /** The last thing asked of each interface that is not done yet. */
  readonly #turns = new Map<string, Promise<void>>();
  /** By namespace: routers without an interface, which go when their time is over. */
  readonly #idle = new Map<string, NodeJS.Timeout>();
  /** What their timers have begun. One that failed is idle again. None rejects. */
  readonly #retiring = new Set<Promise<void>>();

  constructor(options: HostNetworkOptions) {
    this.#installation = options.installation;
    this.#logger = options.logger;
    this.#natPool = options.natPool ?? "100.64.0.0/10";
    this.#idleMs = options.idleMs ?? 0;
    this.#commands = new HostCommands(options.run);
    this.#nat = new NatGateway({
      installation: options.installation,
      commands: this.#commands,
      logger: options.logger,
      pool: parseCidr(this.#natPool),
      uplink: options.uplink,
    });
  }

  async recover(): Promise<void> {
    for (const namespace of await listNamespaces(this.#installation)) {
      const ports = await this.#router(namespace).recover();
      for (const { tap } of ports) this.#namespaceOf.set(tap.id, namespace);
      this.#logger.info({ namespace, interfaces: ports.length }, "found a VPC network");
    }
    await this.#nat.closeIfUnused();
  }

  async prepare(spec: TapSpec, signal?: AbortSignal): Promise<void> {
    checkTap(spec);
    this.#checkPool(spec.vpc);
    const namespace = namespaceName(this.#installation, spec.vpc.name, spec.vpc.uid);
    await this.#inTurn(spec.id, async () => {
      signal?.throwIfAborted();
      await this.#within(spec.id, namespace, async (router) => await router.prepare(spec.vpc, tapOf(spec), signal));
    });
  }

  async attach(spec: InterfaceSpec, signal?: AbortSignal): Promise<AttachedInterface> {
    checkInterface(spec);
    this.#checkPool(spec.vpc);
    const namespace = namespaceName(this.#installation, spec.vpc.name, spec.vpc.uid);
    const tapped = Promise.withResolvers<void>();
    const opened = this.#inTurn(spec.id, async () => {
      signal?.throwIfAborted();
      await this.#within(spec.id, namespace, async (router) => {
        await router.add(spec.vpc, portOf(spec), tapped.resolve, signal);
      });
    });
    // Whoever wants to know listens; the others must not end with it.
    opened.catch(() => {});
    await Promise.race([tapped.promise, opened]);
    return {
      opened,
      namespacePath: namespacePath(namespace),
      tapName: tapName(spec.id),
      gatewayAddress,
      gatewayMacAddress,
      mtu,
    };
  }

  #checkPool(vpc: VpcSpec): void {
    if (!vpc.hasNat || !cidrsOverlap(vpc.cidr, this.#natPool)) return;
    throw new NetworkError(`VPC ${vpc.name} (${vpc.cidr}) overlaps the NAT addresses ${this.#natPool}`, {
      code: "InvalidSpec",
      object: vpc.name,
      remedy: "Choose another network for the VPC, switch its NAT off, or configure another NAT pool.",
    });
  }

  /** Changes what there is of an interface, which may be in one VPC only. */
  async #within(id: string, namespace: string, change: (router: VpcRouter) => Promise<void>): Promise<void> {
    const elsewhere = this.#namespaceOf.get(id);
    if (elsewhere !== undefined && elsewhere !== namespace) {
      throw new NetworkError(`the interface ${id} is attached to another VPC`, {
        code: "InvalidSpec",
        object: id,
        remedy: "Detach it first.",
      });
    }
    this.#namespaceOf.set(id, namespace);
    try {
      await change(this.#router(namespace));
    } catch (error) {
      await this.#forgetUnlessThere(id, namespace);
      throw error;
    }
  }

  async detach(id: string): Promise<void> {
    await this.#inTurn(id, async () => {
      const namespace = this.#namespaceOf.get(id) ?? (await this.#find(id));
      if (namespace === undefined) return;
      await this.#router(namespace).remove(id, tapName(id));
      this.#namespaceOf.delete(id);
      if (this.#idleMs === 0) await this.#retire(namespace);
      else this.#retireLater(namespace);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#turns.values());
    while (this.#retiring.size > 0) await Promise.all(this.#retiring);
    await settleAll([...this.#idle.keys()].map(async (namespace) => await this.#retire(namespace)));
  }

  #retireLater(namespace: string): void {
    clearTimeout(this.#idle.get(namespace));
    if (this.#hasInterface(namespace)) return;
    const retire = (): void => {
      const retiring = this.#retire(namespace)
        .catch((error: unknown) => {
          this.#logger.warn({ namespace, reason: describeError(error) }, "a VPC's namespace was not removed");
          this.#retireLater(namespace);
        })
        .finally(() => this.#retiring.delete(retiring));
      this.#retiring.add(retiring);
    };
    this.#idle.set(namespace, setTimeout(retire, this.#idleMs).unref());
  }

  /** Removes the router of a VPC that has no interface here. */
  async #retire(namespace: string): Promise<void> {
    clearTimeout(this.#idle.get(namespace));
    this.#idle.delete(namespace);
    if (this.#hasInterface(namespace)) return;
    const router = this.#router(namespace);
    await router.removeIfEmpty();
    if (router.isIdle && !this.#hasInterface(namespace)) this.#routers.delete(namespace);
  }

  #hasInterface(namespace: string): boolean {
    return [...this.#namespaceOf.values()].includes(namespace);
  }

  async list(): Promise<readonly string[]> {
    const ids: string[] = [];
    for (const namespace of await listNamespaces(this.#installation)) {
      for (const { tap } of await this.#router(namespace).readPorts()) ids.push(tap.id);
    }
    return ids.toSorted();
  }

  /** What is asked of one interface is done in the order it was asked. */
  async #inTurn(id: string, task: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(task);
    const ended = turn
      .catch(() => {})
      .then(() => {
        if (this.#turns.get(id) === ended) this.#turns.delete(id);
      });
    this.#turns.set(id, ended);
    await turn;
  }

  #router(namespace: string): VpcRouter {
    let router = this.#routers.get(namespace);
    if (router === undefined) {
      router = new VpcRouter(namespace, this.#commands, this.#nat);
      this.#routers.set(namespace, router);
    }
    return router;
  }

  /** The namespace that has an interface this process did not know of. */
  async #find(id: string): Promise<string | undefined> {
    for (const namespace of await listNamespaces(this.#installation)) {
      const ports = await this.#router(namespace).readPorts();
      if (ports.some(({ tap }) => tap.id === id)) return namespace;
    }
    return undefined;
  }

  /** A second attach of an id that failed may have left the first one standing. */
  async #forgetUnlessThere(id: string, namespace: string): Promise<void> {
    const ports = await this.#router(namespace)
      .readPorts()
      .catch(() => undefined);
    if (ports !== undefined && !ports.some(({ tap }) => tap.id === id)) this.#namespaceOf.delete(id);
  }
}
