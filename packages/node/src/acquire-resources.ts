import { join } from "node:path";
import { type NetworkInterface, podVpcName, resources, startFromAnnotation, type VPC } from "@isopod/api";
import { describeError, retry, together } from "@isopod/base";
import type { Image } from "@isopod/image";
import type { AttachedInterface, TapSpec } from "@isopod/network";
import type { MachineDisk, Template } from "@isopod/vmm";
import type { CloneSource } from "./clone-source.ts";
import type { ContainerSlot } from "./container-slot.ts";
import { containerEnvironment, type PodSources } from "./container-environment.ts";
import { guestVolumes } from "./container-plan.ts";
import { ensureImage } from "./image-pulls.ts";
import { NodeError } from "./node-error.ts";
import type { PodContext } from "./pod-context.ts";
import { fetchReferences } from "./pod-inputs.ts";
import { scratchBytes } from "./scratch-size.ts";

/** Everything an instance is made of. */
export interface Resources {
  /** By digest, in the order of the containers: the same again when a VM is taken up by another node agent. */
  readonly images: ReadonlyMap<string, Image>;
  /** Disk serials by digest. */
  readonly imageSerials: ReadonlyMap<string, string>;
  /** What the VM is forked from; undefined for a cold boot. */
  readonly template: Template | undefined;
  readonly eni: NetworkInterface;
  readonly vpc: VPC;
  /** Its tap is there; `opened` is to be awaited before the guest is given its address. */
  readonly attached: AttachedInterface;
  readonly disks: readonly MachineDisk[];
  readonly sources: PodSources;
}

/** The guest agent knows the disks of the first two slots by these names, whatever is behind them. */
export const scratchSerial = "scratch";
const firstImageSerial = "image";

/** Disk serials of images, by digest, in their VM: at most 20 characters. */
function imageSerials(images: ReadonlyMap<string, Image>): ReadonlyMap<string, string> {
  const serials = [...images.keys()].map((digest, index) =>
    index === 0 ? firstImageSerial : `i-${digest.slice(7, 23)}`,
  );
  return new Map([...images.keys()].map((digest, index) => [digest, serials[index] ?? ""]));
}

export function scratchPathOf(directory: string): string {
  return join(directory, "scratch.qcow2");
}

/**
 * Gathers what the instance is made of, side by side; each piece is idempotent. `isNew` tells that a VM will be booted:
 * it gets an empty scratch disk, while one that was found again keeps its own. With `source` it is a fork of that.
 *
 * When one piece cannot be had the others are told to stop, and have stopped when this rejects: whoever releases then
 * does not race with them.
 */
export async function acquireResources(
  context: PodContext,
  isNew: boolean,
  source: CloneSource | undefined,
): Promise<Resources> {
  for (const saved of source?.record.containers ?? []) {
    const slot = context.slots.find((one) => one.container.name === saved.name);
    if (slot?.imageDigest === "") slot.imageDigest = saved.imageDigest;
  }
  const recorded = recordNew(context, isNew, source);
  const [images, network, references, scratch, template] = await together(context.signal, (signal) => [
    pullImages(context, recorded, signal),
    attachNetwork(context, recorded, isNew, signal),
    fetchReferences(context.options.client, context.pod, signal),
    isNew ? makeScratch(context, recorded, signal) : undefined,
    isNew ? (source?.template ?? findTemplate(context)) : undefined,
    recorded,
  ]);
  const sources = {
    ...references,
    podIP: network.eni.spec.address,
    hostIP: context.options.hostIP,
    size: context.size,
  };
  if (isNew && source === undefined) {
    // What is missing is told before a VM is made for nothing.
    guestVolumes(context.pod, sources);
    for (const slot of context.slots) containerEnvironment(context.pod, slot.container, sources);
  }
  const serials = imageSerials(images);
  const imageDisks = [...images.values()].map(
    (image): MachineDisk => ({ type: "parts", serial: serials.get(image.digest) ?? "", parts: image.disk }),
  );
  const [first, ...others] = imageDisks;
  const disks = [first, scratch, ...others].filter((one) => one !== undefined);
  return { images, imageSerials: serials, template, ...network, disks, sources };
}

/**
 * A host user for the VM, and the VM's number when a new one is to come. Resolves when the record is written, which
 * is before anything is made for the pod: what a crash leaves behind is found by it, and a VM that no record speaks of
 * would run on after one. What only reads goes on meanwhile.
 */
async function recordNew(context: PodContext, isNew: boolean, source: CloneSource | undefined): Promise<void> {
  const { record } = context;
  if (record.value.userId !== 0 && !isNew) return;
  const userId = record.value.userId === 0 ? allocateUserId(context) : record.value.userId;
  record.change({ userId, vmCount: record.value.vmCount + (isNew ? 1 : 0) });
  // A VM that is not a fork of the snapshot has nothing to take up of it.
  const snapshotUID = source?.record.uid ?? record.value.clone?.snapshotUID;
  const containers = source === undefined ? {} : { containers: source.record.containers };
  if (isNew && snapshotUID !== undefined) record.change({ clone: { snapshotUID, ...containers } });
  await context.noted().save();
}

function allocateUserId({ pod, options }: PodContext): number {
  const userId = options.userIds.allocate();
  if (userId === undefined) {
    throw new NodeError("every host user id for instances is taken", {
      code: "NoUserId",
      stage: "boot",
      object: pod.metadata.name,
      remedy: "Remove finished pods, or run fewer instances on this node.",
    });
  }
  return userId;
}

/** A template that is not there is made beside the start, for the next one. */
async function findTemplate(context: PodContext): Promise<Template | undefined> {
  const isCold = context.pod.metadata.annotations?.[startFromAnnotation] === "cold";
  if (isCold) return undefined;
  const template = await context.options.templates.forStart(context.size, scratchBytes(context.pod));
  context.stage("template");
  return template;
}

async function pullImages(
  context: PodContext,
  recorded: Promise<void>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Image>> {
  const { images } = context.options;
  const pulled = new Map<string, Image>();
  const byReference = new Map<string, Promise<Image>>();
  const pull = async (slot: ContainerSlot, until: AbortSignal): Promise<void> => {
    const reference = slot.container.image ?? "";
    // A container that ran before keeps the image it ran with.
    const known = slot.imageDigest === "" ? undefined : await images.get(slot.imageDigest);
    if (known === undefined && !byReference.has(reference)) {
      const onWaiting = (waiting: { readonly reason: string; readonly message?: string } | undefined): void => {
        for (const other of context.slots) {
          if (other.container.image !== reference || other.current !== undefined) continue;
          if (waiting === undefined) other.waitForStart();
          else other.waiting = waiting;
        }
        context.publish();
      };
      byReference.set(reference, ensureImage(context.pod, slot.container, context.options, onWaiting, until));
    }
    const image = known ?? (await byReference.get(reference));
    if (image === undefined) return;
    slot.imageDigest = image.digest;
    await recorded;
    await images.hold(image.digest, context.podUID);
    pulled.set(image.digest, image);
  };
  // A hold that lands when all is released again is nobody's.
  await together(signal, (until) => context.slots.map(async (slot) => await pull(slot, until)));
  context.stage("image");
  const inOrder = context.slots.map((slot) => pulled.get(slot.imageDigest)).filter((image) => image !== undefined);
  return new Map(inOrder.map((image) => [image.digest, image]));
}

async function attachNetwork(
  context: PodContext,
  recorded: Promise<void>,
  isNew: boolean,
  signal: AbortSignal,
): Promise<{ readonly eni: NetworkInterface; readonly vpc: VPC; readonly attached: AttachedInterface }> {
  const { network, interfaceOf, vpc: findVpc } = context.options;
  const prepared = isNew ? prepareTap(context, recorded, signal) : Promise.resolve(undefined);
  try {
    const eni = await interfaceOf(context.podUID, signal);
    const vpc = await findVpc(eni.spec.vpc, signal);
    await recorded;
    // The tap it has may be one of another VPC of that name.
    const vpcUID = await prepared;
    if (vpcUID !== undefined && vpcUID !== vpc.metadata.uid) await network.detach(context.podUID);
    const { address, macAddress } = eni.spec;
    const attached = await network.attach({ ...tapSpec(context, vpc), address, macAddress }, signal);
    tellStages(context, eni, attached);
    return { eni, vpc, attached };
  } finally {
    await prepared;
  }
}

/** Makes the tap while the ENI controller makes the interface. With the uid of its VPC if it is there then. */
async function prepareTap(
  context: PodContext,
  recorded: Promise<void>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { network, vpc: findVpc } = context.options;
  try {
    const vpc = await findVpc(podVpcName(context.pod), signal);
    await recorded;
    await network.prepare(tapSpec(context, vpc), signal);
    return vpc.metadata.uid;
  } catch (error) {
    // Whoever attaches the interface meets the same, and says so where it is heard.
    context.logger.debug({ reason: describeError(error) }, "no tap was made ahead");
    return undefined;
  }
}

function tapSpec({ podUID, record }: PodContext, { metadata, spec }: VPC): TapSpec {
  const { name, uid = "" } = metadata;
  return { id: podUID, userId: record.value.userId, vpc: { name, uid, cidr: spec.cidr, hasNat: spec.nat === true } };
}

function tellStages(context: PodContext, eni: NetworkInterface, { opened }: AttachedInterface): void {
  context.podIP = eni.spec.address;
  context.stage("network");
  opened.then(
    () => {
      context.stage("opened");
      void tellAttached(context, eni);
    },
    () => {},
  );
}

/** How long after it is open an interface is told to be attached: the start needs the processor until then. */
const attachedNewsDelayMs = 500;

/** News for people who look at the interface; the start does not wait for it. */
async function tellAttached({ options, logger, detach }: PodContext, eni: NetworkInterface): Promise<void> {
  const { client, clock, nodeName } = options;
  if (eni.status?.phase === "Attached" && eni.status.nodeName === nodeName) return;
  const { namespace, name, uid } = eni.metadata;
  const patch = { metadata: { uid }, status: { phase: "Attached", nodeName } };
  try {
    await clock.sleep(attachedNewsDelayMs, detach.signal);
    await retry(
      async () =>
        await client.patch(resources.networkinterfaces, namespace, name, patch, {
          subresource: "status",
          signal: detach.signal,
        }),
      { clock, signal: detach.signal, initialMs: 200, maxMs: 2000, attempts: 4 },
    );
  } catch (error) {
    logger.debug({ interface: name, reason: describeError(error) }, "the interface's status was not written");
  }
}

async function makeScratch(context: PodContext, recorded: Promise<void>, signal: AbortSignal): Promise<MachineDisk> {
  const path = scratchPathOf(context.directory);
  await recorded;
  const sizeBytes = scratchBytes(context.pod);
  const disk = await context.options.scratch.create(path, sizeBytes, context.record.value.userId, signal);
  context.stage("disk");
  return { type: "qcow2", serial: scratchSerial, path: disk.path, backingPath: disk.backingPath, sizeBytes };
}
