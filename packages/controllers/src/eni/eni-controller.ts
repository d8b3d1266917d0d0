import {
  type AddressClaim,
  addressClaimName,
  isAlreadyExists,
  isNotFound,
  isopodApiVersion,
  type NetworkInterface,
  type Pod,
  podVpcName,
  resources,
} from "@isopod/api";
import { EventRecorder, Informer, keyOf, WorkQueue } from "@isopod/client";
import type { Controller, ControllerOptions } from "../controller.ts";
import { candidateAddresses, macAddressFor } from "./addresses.ts";

function isOver(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/**
 * Makes a network interface for every pod, with an address nobody else of its VPC has, and frees both when the pod is
 * over or gone.
 *
 * An address is taken by *creating* its AddressClaim, whose name is the address: of two creators one gets 409. The claim
 * goes only after the interface, so that an address in use is never free, whatever crashes in between; a claim whose
 * interface never came to be, or is gone, is freed when it is seen.
 */
export class EniController implements Controller {
  readonly name = "eni";
  readonly #options: ControllerOptions;
  readonly #pods: Informer<Pod>;
  readonly #interfaces: Informer<NetworkInterface>;
  readonly #claims: Informer<AddressClaim>;
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  /** Where the next search begins: addresses rest as long as possible before they come again. */
  readonly #next = new Map<string, number>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#pods = new Informer(resources.pods, options);
    this.#interfaces = new Informer(resources.networkinterfaces, options);
    this.#claims = new Informer(resources.addressclaims, options);
    this.#queue = new WorkQueue({ name: "eni", ...options });
    this.#events = new EventRecorder({ ...options, component: "eni-controller" });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#pods.onChange((key) => this.#queue.add(key));
    this.#interfaces.onChange((key) => this.#queue.add(key));
    this.#claims.onChange((name) => this.#queue.add(`claim ${name}`));
    const informers = [this.#pods, this.#interfaces, this.#claims].map(async (one) => await one.run(signal));
    await Promise.race([
      Promise.all([this.#pods.ready, this.#interfaces.ready, this.#claims.ready]),
      Promise.all(informers),
    ]);
    for (const claim of this.#claims.values()) this.#queue.add(`claim ${keyOf(claim)}`);
    await this.#queue.run(async (key) => {
      if (key.startsWith("claim ")) await this.#sweepClaim(key.slice(6), signal);
      else await this.#reconcile(key, signal);
    }, signal);
    await Promise.all(informers);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const pod = this.#pods.get(key);
    const eni = this.#interfaces.get(key);
    const isWanted = pod !== undefined && !isOver(pod);
    if (eni !== undefined && (!isWanted || eni.spec.podUID !== pod.metadata.uid)) {
      await ignoreNotFound(
        client.delete(resources.networkinterfaces, eni.metadata.namespace, eni.metadata.name, {
          signal,
          body: { preconditions: { uid: eni.metadata.uid ?? "" } },
        }),
      );
      await this.#freeClaim(addressClaimName(eni.spec.vpc, eni.spec.address), signal);
      if (isWanted) this.#queue.add(key);
      return;
    }
    if (!isWanted || eni !== undefined || pod.metadata.deletionTimestamp !== undefined) return;
    await this.#make(key, pod, signal);
  }

  async #make(key: string, pod: Pod, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { name, namespace = "default", uid = "" } = pod.metadata;
    const vpcName = podVpcName(pod);
    let cidr: string;
    try {
      ({ cidr } = (await client.get(resources.vpcs, undefined, vpcName, { signal })).spec);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#events.warning(
        pod,
        "FailedCreateInterface",
        `VPC "${vpcName}" does not exist. Create it, or name another in the annotation isopod.dev/vpc.`,
      );
      this.#queue.addAfter(key, 2000);
      return;
    }
    const address = await this.#claim(vpcName, cidr, { namespace, name, uid }, signal);
    if (address === undefined) {
      this.#events.warning(
        pod,
        "FailedCreateInterface",
        `VPC "${vpcName}" (${cidr}) has no free address. Remove pods, or make a larger VPC.`,
      );
      this.#queue.addAfter(key, 5000);
      return;
    }
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
      await client.create(resources.networkinterfaces, eni, { signal });
    } catch (error) {
      await this.#freeClaim(addressClaimName(vpcName, address), signal);
      // Another pod of the name is still being taken down.
      if (isAlreadyExists(error)) this.#queue.addAfter(key, 200);
      else if (!isNotFound(error)) throw error;
    }
  }

  async #claim(
    vpc: string,
    cidr: string,
    owner: AddressClaim["spec"]["interface"],
    signal: AbortSignal,
  ): Promise<string | undefined> {
    // A claim made just before a crash is this pod's already.
    for (const claim of this.#claims.values()) {
      if (claim.spec.vpc === vpc && claim.spec.interface.uid === owner.uid) return claim.spec.address;
    }
    const start = this.#next.get(vpc) ?? this.#claims.size;
    let tried = 0;
    for (const address of candidateAddresses(cidr, start)) {
      tried += 1;
      const name = addressClaimName(vpc, address);
      if (this.#claims.get(name) !== undefined) continue;
      try {
        const claim: AddressClaim = {
          apiVersion: isopodApiVersion,
          kind: "AddressClaim",
          metadata: { name },
          spec: { vpc, address, interface: owner },
        };
        await this.#options.client.create(resources.addressclaims, claim, { signal });
        this.#next.set(vpc, start + tried);
        return address;
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
    return undefined;
  }

  async #freeClaim(name: string, signal: AbortSignal): Promise<void> {
    await ignoreNotFound(this.#options.client.delete(resources.addressclaims, undefined, name, { signal }));
  }

  /** Frees a claim that no pod and no interface stands behind. */
  async #sweepClaim(name: string, signal: AbortSignal): Promise<void> {
    const claim = this.#claims.get(name);
    if (claim === undefined) return;
    const { client } = this.#options;
    const { namespace, name: podName, uid } = claim.spec.interface;
    const isHeld = async (): Promise<boolean> => {
      // Asked of the API, not of the copies: they may not have seen what was made a moment ago.
      const pod = await ignoreNotFound(client.get(resources.pods, namespace, podName, { signal }));
      if (pod?.metadata.uid === uid && !isOver(pod)) return true;
      const eni = await ignoreNotFound(client.get(resources.networkinterfaces, namespace, podName, { signal }));
      return eni?.spec.podUID === uid;
    };
    const local = this.#pods.get(`${namespace}/${podName}`);
    if (local?.metadata.uid === uid && !isOver(local)) return;
    if (await isHeld()) {
      this.#queue.addAfter(`claim ${name}`, 5000);
      return;
    }
    await this.#freeClaim(name, signal);
  }
}

async function ignoreNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
