import type { VpcSpec } from "../contract.ts";
import { NetworkError } from "../network-error.ts";
import type { HostCommands } from "./host-commands.ts";
import { natLinkName } from "./names.ts";
import { namespaceExists } from "./namespaces.ts";
import type { NatGateway } from "./nat-gateway.ts";
import { isSamePort, type Port } from "./port.ts";
import { SerialQueue } from "./serial-queue.ts";
import { parseLinks, portLines, routerLines, routerSysctls } from "./vpc-links.ts";
import { addPorts, removePorts, vpcRuleset } from "./vpc-ruleset.ts";

/** What this process knows to hold in the kernel, because it put it there itself and nothing failed since. */
interface Standing {
  readonly cidr: string;
  readonly hasNat: boolean;
  readonly ports: Map<string, Port>;
}

/**
 * One VPC's namespace on this host. Changes come one at a time. After a start, and after anything failed, the next
 * change first reads the kernel and sets everything right; after that an interface costs two processes.
 */
export class VpcRouter {
  readonly namespace: string;
  readonly #commands: HostCommands;
  readonly #nat: NatGateway;
  readonly #queue = new SerialQueue();
  #standing: Standing | undefined;

  constructor(namespace: string, commands: HostCommands, nat: NatGateway) {
    this.namespace = namespace;
    this.#commands = commands;
    this.#nat = nat;
  }

  get isIdle(): boolean {
    return this.#queue.isIdle;
  }

  /** Makes the port, replacing one of the same id; throws `AddressInUse` if another has its address. */
  async add(vpc: VpcSpec, port: Port, signal?: AbortSignal): Promise<void> {
    await this.#queue.run(async () => {
      const standing = this.#standing;
      if (standing?.cidr === vpc.cidr && standing.hasNat === vpc.hasNat && !standing.ports.has(port.id)) {
        await this.#extend(standing, vpc, port);
      } else {
        await this.#establish(vpc, port);
      }
    }, signal);
  }

  /** Removes the port of that id, if there is one, and the whole namespace if it has no other. */
  async remove(id: string, tapName: string): Promise<void> {
    await this.#queue.run(async () => {
      const standing = this.#standing;
      this.#standing = undefined;
      const ports = standing?.ports ?? new Map((await this.#readPorts()).map((port) => [port.id, port]));
      const port = ports.get(id);
      ports.delete(id);
      if (await namespaceExists(this.namespace)) {
        // The tap goes first: its namespace would outlive its name for as long as a VM holds the tap open.
        await this.#removeTap(tapName);
        if (ports.size > 0 && port !== undefined) {
          await this.#commands.nft("detaching from the VPC", id, removePorts([port]), this.namespace);
        }
      }
      if (ports.size === 0) await this.#removeNamespace();
      else this.#standing = standing;
    });
  }

  /** Ports as the kernel has them now; with none left, what a crash left of the namespace is removed. */
  async recover(): Promise<readonly Port[]> {
    return await this.#queue.run(async () => {
      const ports = await this.#readPorts();
      if (ports.length === 0) await this.#removeNamespace();
      return ports;
    });
  }

  async readPorts(): Promise<readonly Port[]> {
    return await this.#queue.run(async () => await this.#readPorts());
  }

  async #readPorts(): Promise<readonly Port[]> {
    return (await namespaceExists(this.namespace)) ? (await this.#readLinks()).ports : [];
  }

  async #readLinks(): Promise<ReturnType<typeof parseLinks>> {
    return parseLinks(
      await this.#commands.ipQuery("reading interfaces", this.namespace, ["link", "show"], this.namespace),
    );
  }

  async #extend(standing: Standing, vpc: VpcSpec, port: Port): Promise<void> {
    refuseTakenAddress(vpc, port, standing.ports.values());
    // Until it has succeeded, nothing is known to hold.
    this.#standing = undefined;
    try {
      await this.#commands.ipBatch(`attaching to VPC ${vpc.name}`, port.id, portLines(port), this.namespace);
      await this.#commands.nft(`opening VPC ${vpc.name}`, port.id, addPorts([port]), this.namespace);
    } catch (error) {
      await this.#undo(port);
      throw error;
    }
    standing.ports.set(port.id, port);
    this.#standing = standing;
  }

  /** From whatever the kernel has now to the whole VPC with this port in it. */
  async #establish(vpc: VpcSpec, port: Port): Promise<void> {
    this.#standing = undefined;
    const links = (await namespaceExists(this.namespace)) ? await this.#readLinks() : undefined;
    const others = (links?.ports ?? []).filter(({ id }) => id !== port.id);
    refuseTakenAddress(vpc, port, others);
    const old = links?.ports.find(({ id }) => id === port.id);
    // A port that is as asked for may have a VM on it and is left alone, also when something else fails.
    const isKept = old !== undefined && isSamePort(old, port);
    const stale = [...(links?.unfinishedTaps ?? []), ...(old === undefined || isKept ? [] : [old.tapName])];
    const ports = [...others, port];
    try {
      await this.#setUp(vpc, ports, {
        hasNamespace: links !== undefined,
        first: stale.map((tap) => `link del dev ${tap}`),
        last: isKept ? [] : portLines(port),
      });
    } catch (error) {
      if (!isKept) await this.#undo(port);
      throw error;
    }
    this.#standing = { cidr: vpc.cidr, hasNat: vpc.hasNat, ports: new Map(ports.map((each) => [each.id, each])) };
  }

  async #setUp(
    vpc: VpcSpec,
    ports: readonly Port[],
    links: { readonly hasNamespace: boolean; readonly first: readonly string[]; readonly last: readonly string[] },
  ): Promise<void> {
    const { namespace } = this;
    const what = `setting up VPC ${vpc.name}`;
    if (!links.hasNamespace) await this.#commands.ipBatch(what, namespace, [`netns add ${namespace}`]);
    const natAddress = vpc.hasNat ? await this.#nat.open(namespace) : undefined;
    if (!vpc.hasNat) await this.#closeNat();
    const lines = [...links.first, ...routerLines(vpc.cidr, natAddress), ...links.last];
    await this.#commands.sysctlAndIpBatch(what, namespace, routerSysctls, lines, namespace);
    await this.#commands.nft(what, namespace, vpcRuleset(ports, natAddress), namespace);
  }

  /** A failed attach leaves nothing of its own; a failure here must not hide the first one. */
  async #undo(port: Port): Promise<void> {
    try {
      if (!(await namespaceExists(this.namespace))) return;
      await this.#removeTap(port.tapName);
      if ((await this.#readPorts()).length === 0) await this.#removeNamespace();
    } catch {
      // The next change, or the next start, reads the kernel and sets this right.
    }
  }

  async #removeTap(tapName: string): Promise<void> {
    try {
      await this.#commands.ipBatch("removing a tap", tapName, [`link del dev ${tapName}`], this.namespace);
    } catch (error) {
      if (error instanceof NetworkError && /Cannot find device/.test(error.message)) return;
      throw error;
    }
  }

  async #removeNamespace(): Promise<void> {
    const link = await this.#nat.linkOf(this.namespace);
    const lines = [
      // The kernel takes a namespace's devices down at its leisure; the host's end is to go now.
      ...(link === undefined ? [] : [`link del dev ${link}`]),
      ...((await namespaceExists(this.namespace)) ? [`netns del ${this.namespace}`] : []),
    ];
    if (lines.length > 0) await this.#commands.ipBatch("removing a VPC's namespace", this.namespace, lines);
    if (link !== undefined) await this.#nat.closeIfUnused();
  }

  async #closeNat(): Promise<void> {
    const link = await this.#nat.linkOf(this.namespace);
    if (link === undefined) return;
    await this.#commands.ipBatch(`closing the way out (${natLinkName})`, this.namespace, [`link del dev ${link}`]);
    await this.#nat.closeIfUnused();
  }
}

function refuseTakenAddress(vpc: VpcSpec, port: Port, others: Iterable<Port>): void {
  for (const other of others) {
    if (other.address !== port.address) continue;
    throw new NetworkError(`the address ${port.address} of VPC ${vpc.name} belongs to the interface ${other.id}`, {
      code: "AddressInUse",
      object: port.id,
      remedy: "Take another address, or detach the other interface first.",
    });
  }
}
