import type { VpcSpec } from "../contract.ts";
import { NetworkError } from "../network-error.ts";
import { FilterChanges } from "./filter-changes.ts";
import type { HostCommands } from "./host-commands.ts";
import { natLinkName } from "./names.ts";
import { namespaceExists } from "./namespaces.ts";
import type { NatGateway } from "./nat-gateway.ts";
import { type KnownPort, mayBecome, type Port, type Tap } from "./port.ts";
import { TurnQueue } from "./turn-queue.ts";
import { openLines, parseLinks, recordLine, routerLines, routerSysctls, tapLines } from "./vpc-links.ts";
import { addPorts, removePorts, vpcRuleset } from "./vpc-ruleset.ts";

interface StandingPort extends KnownPort {
  /** The packet filter has it, or has it once {@link Standing.ready} resolves. */
  readonly isInFilter: boolean;
  /** Its tap was made ahead by this process: nobody was told of it yet. */
  readonly isAhead: boolean;
}

/** What this process knows to hold in the kernel, because it put it there itself and nothing failed since. */
interface Standing {
  readonly cidr: string;
  readonly hasNat: boolean;
  /** Ports whose tap is there, or is being made. */
  readonly ports: Map<string, StandingPort>;
  /** Resolves when the packet filter and the way out are there, and may be added to. */
  readonly ready: Promise<void>;
}

/**
 * One VPC's namespace on this host. Ports come and go side by side; what makes and ends the namespace runs alone. After
 * a start, and after anything failed, the next change first reads the kernel and sets everything right.
 */
export class VpcRouter {
  readonly namespace: string;
  readonly #commands: HostCommands;
  readonly #nat: NatGateway;
  readonly #turns = new TurnQueue();
  readonly #filter: FilterChanges;
  #standing: Standing | undefined;
  #settingUp: Promise<void> = Promise.resolve();

  constructor(namespace: string, commands: HostCommands, nat: NatGateway) {
    this.namespace = namespace;
    this.#commands = commands;
    this.#nat = nat;
    this.#filter = new FilterChanges(async (changes) => {
      await commands.nft("changing a VPC's packet filter", namespace, changes, namespace);
    });
  }

  get isIdle(): boolean {
    return this.#turns.isIdle;
  }

  /** Makes the tap of an interface that is to come, unless there is one of its id. */
  async prepare(vpc: VpcSpec, tap: Tap, signal?: AbortSignal): Promise<void> {
    await this.#change(async () => {
      const isPrepared = await this.#turns.together(async () => {
        const standing = this.#standing;
        if (!stands(standing, vpc)) return false;
        if (standing.ports.has(tap.id)) return true;
        standing.ports.set(tap.id, { tap, port: undefined, isInFilter: false, isOpen: false, isAhead: true });
        await this.#makeTap(standing, vpc, tap);
        return true;
      }, signal);
      if (isPrepared) return;
      await this.#turns.alone(async () => {
        if (!stands(this.#standing, vpc)) await this.#establish(vpc, tap);
      }, signal);
    });
  }

  /**
   * Makes the port, replacing one of the same id, and resolves when it is open; `onTap` is called once its tap is there.
   * Throws `AddressInUse` if another has its address.
   */
  async add(vpc: VpcSpec, port: Port, onTap: () => void, signal?: AbortSignal): Promise<void> {
    await this.#change(async () => {
      for (let isRead = false, isMade = false; ; isRead = true) {
        const isKnown = (standing: Standing): boolean => {
          const known = standing.ports.get(port.id);
          if (known === undefined || isRead) return true;
          // What an interface that is there already looks like, the kernel says.
          return known.isAhead && mayBecome(known, port);
        };
        const isAdded = await this.#turns.together(async () => {
          const standing = this.#standing;
          if (!stands(standing, vpc) || !isKnown(standing)) return false;
          await this.#extend(standing, vpc, port, isMade, onTap);
          return true;
        }, signal);
        if (isAdded) return;
        await this.#turns.alone(async () => {
          const standing = this.#standing;
          if (stands(standing, vpc) && !standing.ports.has(port.id)) return;
          isMade = (await this.#establish(vpc, port)) || isMade;
        }, signal);
      }
    });
  }

  async #change(change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } catch (error) {
      // A failed attach leaves nothing of its own, and a failure here must not hide the first one: the next change, or
      // the next start, reads the kernel and sets this right.
      await this.#turns.alone(async () => await this.#removeIfEmpty()).catch(() => {});
      throw error;
    }
  }

  /** Removes the port of that id, if there is one; the router stands until {@link removeIfEmpty}. */
  async remove(id: string, tapName: string): Promise<void> {
    await this.#turns.together(async () => {
      const standing = this.#standing;
      try {
        if (await namespaceExists(this.namespace)) {
          // First: the namespace would outlive its name for as long as a VM holds the tap open.
          await this.#removeTap(tapName);
          const known = standing?.ports.get(id);
          const isFilterThere = await standing?.ready.then(
            () => true,
            () => false,
          );
          // Where nothing is known to stand, the next port's filter is made anew, without this one.
          if (known?.port !== undefined && known.isInFilter && isFilterThere === true) {
            await this.#filter.apply(removePorts([known.port]));
          }
        }
        standing?.ports.delete(id);
      } catch (error) {
        this.#forget(standing);
        throw error;
      }
    });
  }

  /** Removes the whole namespace if it has no port. */
  async removeIfEmpty(): Promise<void> {
    if ((this.#standing?.ports.size ?? 0) > 0) return;
    await this.#turns.alone(async () => await this.#removeIfEmpty());
  }

  /** Ports as the kernel has them now; with none left, what a crash left of the namespace is removed. */
  async recover(): Promise<readonly KnownPort[]> {
    return await this.#turns.alone(async () => {
      const ports = await this.#readPorts();
      if (ports.length === 0) await this.#removeNamespace();
      return ports;
    });
  }

  async readPorts(): Promise<readonly KnownPort[]> {
    return await this.#turns.together(async () => await this.#readPorts());
  }

  async #readPorts(): Promise<readonly KnownPort[]> {
    return (await namespaceExists(this.namespace)) ? (await this.#readLinks()).ports : [];
  }

  async #readLinks(): Promise<ReturnType<typeof parseLinks>> {
    return parseLinks(
      await this.#commands.ipQuery("reading interfaces", this.namespace, ["link", "show"], this.namespace),
    );
  }

  /** Adds a tap, which is down, to the VPC that stands. */
  async #makeTap(standing: Standing, vpc: VpcSpec, tap: Tap): Promise<void> {
    try {
      const lines = [...tapLines(tap), recordLine(tap)];
      await this.#commands.ipBatch(`making a tap for VPC ${vpc.name}`, tap.id, lines, this.namespace);
    } catch (error) {
      this.#forget(standing);
      await this.#undo(standing, tap);
      throw error;
    }
  }

  /**
   * Adds a port to the VPC that stands: its tap, then beside whoever uses that, its place in the packet filter, then
   * the rest. A port that is there already may become what is asked for: it was made here, or read from the kernel.
   */
  async #extend(standing: Standing, vpc: VpcSpec, port: Port, isMade: boolean, onTap: () => void): Promise<void> {
    refuseTakenAddress(vpc, port, standing.ports.values());
    const known = standing.ports.get(port.id);
    const isInFilter = known?.isInFilter === true;
    // Another that comes meanwhile is not to get the same address.
    standing.ports.set(port.id, { tap: port, port, isInFilter, isOpen: known?.isOpen === true, isAhead: false });
    if (known === undefined) await this.#makeTap(standing, vpc, port);
    try {
      onTap();
      await standing.ready;
      if (!isInFilter) await this.#filter.apply(addPorts([port]));
      if (known?.isOpen === true) return;
      await this.#commands.ipBatch(`opening VPC ${vpc.name}`, port.id, openLines(port), this.namespace);
      standing.ports.set(port.id, { tap: port, port, isInFilter: true, isOpen: true, isAhead: false });
    } catch (error) {
      this.#forget(standing);
      // A port found here may have a VM on it and is left alone.
      if (known === undefined || known.isAhead || isMade) await this.#undo(standing, port);
      throw error;
    }
  }

  /**
   * From whatever the kernel has now to the whole VPC, with this tap in it; true if that is a new one. The way out and
   * the packet filter, with the port if it is one, are set up beside what follows: they are not waited for until a port
   * is opened.
   */
  async #establish(vpc: VpcSpec, wanted: Tap | Port): Promise<boolean> {
    const { namespace } = this;
    const what = `setting up VPC ${vpc.name}`;
    const port = "address" in wanted ? wanted : undefined;
    this.#standing = undefined;
    await this.#settingUp;
    const links = (await namespaceExists(namespace)) ? await this.#readLinks() : undefined;
    const others = (links?.ports ?? []).filter(({ tap }) => tap.id !== wanted.id);
    if (port !== undefined) refuseTakenAddress(vpc, port, others);
    const old = links?.ports.find(({ tap }) => tap.id === wanted.id);
    // Of one that is only prepared, nothing but its user is known yet.
    const kept = old !== undefined && (port === undefined || mayBecome(old, port)) ? old : undefined;
    const stale = [
      ...(links?.unfinishedTaps ?? []),
      ...(old === undefined || kept !== undefined ? [] : [old.tap.tapName]),
    ];
    if (links === undefined) await this.#commands.ipBatch(what, namespace, [`netns add ${namespace}`]);
    const lines = [
      ...stale.map((tap) => `link del dev ${tap}`),
      ...(kept === undefined ? tapLines(wanted) : []),
      // With a way out, all routes change together: none of them may be missing for a moment.
      ...(vpc.hasNat ? [] : routerLines(vpc.cidr, undefined)),
      ...(kept === undefined ? [recordLine(wanted)] : []),
    ];
    try {
      await this.#commands.sysctlAndIpBatch(what, namespace, routerSysctls, lines, namespace);
    } catch (error) {
      if (kept === undefined) await this.#removeTap(wanted.tapName).catch(() => {});
      throw error;
    }
    const mine: KnownPort = { tap: wanted, isOpen: false, ...kept, port: port ?? kept?.port };
    const isAhead = kept === undefined && port === undefined;
    const ports = [...others, mine].map((one): StandingPort => {
      return { ...one, isInFilter: one.port !== undefined, isAhead: isAhead && one === mine };
    });
    const inFilter = ports.map((one) => one.port).filter((one) => one !== undefined);
    const ready = this.#setUp(vpc, inFilter);
    const standing = {
      cidr: vpc.cidr,
      hasNat: vpc.hasNat,
      ports: new Map(ports.map((one) => [one.tap.id, one])),
      ready,
    };
    this.#standing = standing;
    this.#settingUp = ready.catch(() => this.#forget(standing));
    return kept === undefined;
  }

  async #setUp(vpc: VpcSpec, ports: readonly Port[]): Promise<void> {
    const { namespace } = this;
    const what = `setting up VPC ${vpc.name}`;
    const natAddress = vpc.hasNat ? await this.#nat.open(namespace) : undefined;
    if (natAddress === undefined) await this.#closeNat();
    else await this.#commands.ipBatch(what, namespace, routerLines(vpc.cidr, natAddress), namespace);
    await this.#commands.nft(what, namespace, vpcRuleset(ports, natAddress), namespace);
  }

  /** What failed is not known to hold any more: the next change reads the kernel. */
  #forget(standing: Standing | undefined): void {
    if (this.#standing === standing) this.#standing = undefined;
  }

  async #undo(standing: Standing, { id, tapName }: Tap): Promise<void> {
    try {
      if (await namespaceExists(this.namespace)) await this.#removeTap(tapName);
      standing.ports.delete(id);
    } catch {
      // Its tap is down or its record says what it is: it is found when the kernel is read.
    }
  }

  /** To be run alone. */
  async #removeIfEmpty(): Promise<void> {
    await this.#settingUp;
    const standing = this.#standing;
    const count = standing?.ports.size ?? (await this.#readPorts()).length;
    if (count > 0) return;
    this.#standing = undefined;
    await this.#removeNamespace();
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

function stands(standing: Standing | undefined, vpc: VpcSpec): standing is Standing {
  return standing?.cidr === vpc.cidr && standing.hasNat === vpc.hasNat;
}

function refuseTakenAddress(vpc: VpcSpec, port: Port, others: Iterable<KnownPort>): void {
  for (const { tap, port: other } of others) {
    if (other?.address !== port.address || tap.id === port.id) continue;
    throw new NetworkError(`the address ${port.address} of VPC ${vpc.name} belongs to the interface ${tap.id}`, {
      code: "AddressInUse",
      object: port.id,
      remedy: "Take another address, or detach the other interface first.",
    });
  }
}
