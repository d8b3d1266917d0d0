import {
  type AddressClaim,
  addressClaimName,
  isAlreadyExists,
  isConflict,
  isNotFound,
  isopodApiVersion,
  type NetworkInterface,
  type Pod,
  podVpcName,
  resources,
  type VPC,
} from "@isopod/api";
import { EventRecorder, Informer, splitKey, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";
import { ignoreNotFound } from "../ignore-not-found.ts";
import { candidateAddresses, macAddressFor } from "./addresses.ts";
import { ClaimIndex, podKeyOf } from "./claim-index.ts";

/** By when the watch shows an interface that was made; after that it is made once more, which the API refuses if it is there. */
const shownWithinMs = 1000;

/** When a pod that got no interface is looked at again, if nothing happens before. */
const retryMs = 10_000;

function isOver(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/**
 * Makes a network interface for every pod, with an address nobody else of its VPC has, and frees both when the pod is
 * over or gone.
 *
 * An address is taken by *creating* its AddressClaim, whose name is the address: of two creators one gets 409. The claim
 * goes only once the API says that the interface is gone, so that an address in use is never free, whatever crashes in
 * between, and whichever answer is lost. Pod, interface and claims of one pod name are one key of the queue: nothing
 * about them happens at the same time.
 */
export class EniController implements Controller {
  readonly name = "eni";
  readonly #options: ControllerOptions;
  readonly #pods: Informer<Pod>;
  readonly #interfaces: Informer<NetworkInterface>;
  readonly #claims: Informer<AddressClaim>;
  readonly #vpcs: Informer<VPC>;
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #claimsByPod = new ClaimIndex();
  /** Pods that wait for their VPC, or for an address of it. */
  readonly #waiting = new Map<string, Set<string>>();
  /** Interfaces that were made and that the watch has yet to show: pod's key, its uid and when it is late. */
  readonly #made = new Map<string, { readonly podUID: string; readonly lateMs: number }>();
  /** Where the next search begins: addresses rest as long as possible before they come again. */
  readonly #next = new Map<string, number>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#pods = new Informer(resources.pods, options);
    this.#interfaces = new Informer(resources.networkinterfaces, options);
    this.#claims = new Informer(resources.addressclaims, options);
    this.#vpcs = new Informer(resources.vpcs, options);
    this.#queue = new WorkQueue({ name: "eni", ...options });
    this.#events = new EventRecorder({ ...options, component: "eni-controller" });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#pods.onChange((key) => this.#queue.add(key));
    this.#interfaces.onChange((key) => {
      this.#made.delete(key);
      this.#queue.add(key);
    });
    this.#vpcs.onChange((name) => this.#wake(name));
    this.#claims.onChange((_name, claim, previous) => {
      if (previous !== undefined) this.#claimsByPod.remove(previous);
      if (claim !== undefined) {
        this.#claimsByPod.set(claim);
        this.#queue.add(podKeyOf(claim));
      } else if (previous !== undefined) this.#wake(previous.spec.vpc);
    });
    const informers = [this.#pods, this.#interfaces, this.#claims, this.#vpcs];
    const running = informers.map(async (one) => await one.run(signal));
    await Promise.all(informers.map(async (one) => await one.ready));
    await this.#queue.run(async (key) => await this.#reconcile(key, signal), signal);
    await Promise.all(running);
    await this.#events.flush();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const pod = this.#pods.get(key);
    const eni = this.#interfaces.get(key);
    const wantedUid = pod === undefined || isOver(pod) ? undefined : pod.metadata.uid;
    if (eni !== undefined && eni.spec.podUID !== wantedUid) {
      // Its claim goes when the watch shows that the interface is gone: something may still hold it.
      await this.#deleteInterface(eni, signal);
      return;
    }
    for (const claim of this.#claimsByPod.of(key)) {
      const isInUse =
        claim.spec.interface.uid === wantedUid &&
        (eni === undefined || (claim.spec.vpc === eni.spec.vpc && claim.spec.address === eni.spec.address));
      if (!isInUse) await this.#freeClaim(key, claim, signal);
    }
    if (pod === undefined || wantedUid === undefined || eni !== undefined) return;
    if (pod.metadata.deletionTimestamp === undefined && !this.#isMade(key, wantedUid)) {
      await this.#make(key, pod, signal);
    }
  }

  /** The claim's own event comes before the interface's. */
  #isMade(key: string, podUID: string): boolean {
    const made = this.#made.get(key);
    const leftMs = made?.podUID === podUID ? made.lateMs - this.#options.clock.monotonicMs() : 0;
    if (leftMs > 0) this.#queue.addAfter(key, leftMs);
    else this.#made.delete(key);
    return leftMs > 0;
  }

  async #make(key: string, pod: Pod, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { name, namespace = "default", uid = "" } = pod.metadata;
    const vpcName = podVpcName(pod);
    // A VPC made a moment ago may not be in the copy.
    const vpc =
      this.#vpcs.get(vpcName) ?? (await ignoreNotFound(client.get(resources.vpcs, undefined, vpcName, { signal })));
    if (vpc === undefined) {
      const remedy = "Create it, or name another in the annotation isopod.dev/vpc.";
      return this.#wait(key, pod, vpcName, `VPC "${vpcName}" does not exist. ${remedy}`);
    }
    const { cidr } = vpc.spec;
    const address = await this.#claim(key, vpcName, cidr, { namespace, name, uid }, signal);
    if (address === undefined) {
      const remedy = "Remove pods, or make a larger VPC.";
      return this.#wait(key, pod, vpcName, `VPC "${vpcName}" (${cidr}) has no free address. ${remedy}`);
    }
    this.#waiting.get(vpcName)?.delete(key);
    const eni: NetworkInterface = {
      apiVersion: isopodApiVersion,
      kind: "NetworkInterface",
      metadata: {
        name,
        namespace,
        ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid, controller: true }],
      },
      spec: { vpc: vpcName, address, macAddress: macAddressFor(uid), podName: name, podUID: uid },
    };
    try {
      const created = await ignoreNotFound(client.create(resources.networkinterfaces, eni, { signal }));
      if (created === undefined || this.#interfaces.get(key) !== undefined) return;
      this.#made.set(key, { podUID: uid, lateMs: this.#options.clock.monotonicMs() + shownWithinMs });
    } catch (error) {
      // Ours, if an answer was lost, or that of a pod of this name which is still being taken down: the watch tells.
      if (isAlreadyExists(error)) this.#queue.addAfter(key, 200);
      else throw error;
    }
  }

  #wait(key: string, pod: Pod, vpc: string, message: string): void {
    const keys = this.#waiting.get(vpc) ?? new Set<string>();
    keys.add(key);
    this.#waiting.set(vpc, keys);
    this.#events.warning(pod, "FailedCreateInterface", message);
    this.#queue.addAfter(key, retryMs);
  }

  /** The VPC came, or has an address again. */
  #wake(vpc: string): void {
    const keys = this.#waiting.get(vpc);
    if (keys === undefined) return;
    this.#waiting.delete(vpc);
    for (const key of keys) this.#queue.add(key);
  }

  /** An address for this pod: the one it has a claim on already, else a new claim's; undefined when there is none. */
  async #claim(
    key: string,
    vpc: string,
    cidr: string,
    owner: AddressClaim["spec"]["interface"],
    signal: AbortSignal,
  ): Promise<string | undefined> {
    for (const { spec } of this.#claimsByPod.of(key)) {
      if (spec.vpc === vpc && spec.interface.uid === owner.uid) return spec.address;
    }
    const start = this.#next.get(vpc) ?? this.#claims.size;
    let tried = 0;
    for (const address of candidateAddresses(cidr, start)) {
      tried += 1;
      const name = addressClaimName(vpc, address);
      if (this.#claims.get(name) !== undefined) continue;
      // Others search at the same time: each begins behind where the last one looked.
      this.#next.set(vpc, start + tried);
      try {
        const claim = await this.#options.client.create(
          resources.addressclaims,
          {
            apiVersion: isopodApiVersion,
            kind: "AddressClaim",
            metadata: { name },
            spec: { vpc, address, interface: owner },
          },
          { signal },
        );
        this.#claimsByPod.set(claim);
        return address;
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
    return undefined;
  }

  async #deleteInterface(eni: NetworkInterface, signal: AbortSignal): Promise<void> {
    const { uid, namespace, name } = eni.metadata;
    if (eni.metadata.deletionTimestamp !== undefined) return;
    await ignoreNotFound(
      this.#options.client.delete(resources.networkinterfaces, namespace, name, {
        signal,
        body: uid === undefined ? {} : { preconditions: { uid } },
      }),
    );
  }

  /** Frees a claim that no pod and no interface stands behind, by the word of the API: the copies may be behind. */
  async #freeClaim(key: string, claim: AddressClaim, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { namespace, name } = splitKey(key);
    const { vpc, address, interface: owner } = claim.spec;
    const eni = await ignoreNotFound(client.get(resources.networkinterfaces, namespace, name, { signal }));
    if (eni?.spec.vpc === vpc && eni.spec.address === address) return this.#queue.addAfter(key, 1000);
    const pod = await ignoreNotFound(client.get(resources.pods, namespace, name, { signal }));
    const isWanted = pod?.metadata.uid === owner.uid && !isOver(pod);
    // With an interface of another address, this claim is a second one, made because an answer was lost.
    if (isWanted && eni?.spec.podUID !== owner.uid) return this.#queue.addAfter(key, 1000);
    const { uid } = claim.metadata;
    try {
      await client.delete(resources.addressclaims, undefined, claim.metadata.name, {
        signal,
        body: uid === undefined ? {} : { preconditions: { uid } },
      });
    } catch (error) {
      // Freed already; with a conflict, the address is somebody else's by now.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    this.#claimsByPod.remove(claim);
  }
}
