import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { vcpusFor, vmOverhead } from "@isopod/api";
import type { GuestIdentity } from "@isopod/guest";
import type { MachineSpec } from "@isopod/vmm";
import { type Resources, scratchSerial } from "./acquire-resources.ts";
import { hostnameOf } from "./container-plan.ts";
import { Instance, machineDirectory } from "./instance.ts";
import { lastWords } from "./last-words.ts";
import { NodeError } from "./node-error.ts";
import type { PodContext } from "./pod-context.ts";
import { takeUpClone } from "./take-up-clone.ts";
import { hostsFile, resolvConf } from "./pod-files.ts";
import { guestMemoryMiB } from "./vmm-templates.ts";

/**
 * Bound of the VM process beyond what the scheduler counts: the file cache of its disks is in it too, which the kernel
 * gives back before it kills anybody.
 */
const machineSlackMiB = 152;

/**
 * Of all disks of a VM together: more than a program under emulation can ask for, and little enough that one instance
 * does not take a host's disk for itself.
 */
const diskLimits = {
  readBytesPerSecond: 1024 ** 3,
  writeBytesPerSecond: 512 * 1024 ** 2,
  readIops: 50_000,
  writeIops: 25_000,
} as const;

/** The VM that an earlier node agent, or an earlier try, left running; undefined when there is none. */
export async function findInstance(context: PodContext): Promise<Instance | undefined> {
  const { vmCount } = context.record.value;
  if (context.instance === undefined && vmCount > 0) {
    const options = { ...context.options, isFromSnapshot: isUntakenClone(context) };
    context.instance = await Instance.find(machineDirectory(context.directory, vmCount), options);
  }
  return context.instance;
}

/** Boots a VM, or takes up the one that was found, until its agent answers and it has its network and disks. */
export async function bootInstance(context: PodContext, resources: Resources): Promise<Instance> {
  const found = context.instance;
  context.pause.identity = () => identityOf(context, resources);
  if (found !== undefined) {
    // A paused one is connected to when it goes on; until then it is shown as what it is.
    context.isSandboxReady = true;
    context.pause.check();
    context.publish();
    try {
      await found.connect(context.signal);
      const isNew = isUntakenClone(context) || !(await found.isConfigured(context.signal));
      if (isNew) await identify(context, found, resources);
    } catch (error) {
      // Whoever runs its containers finds that it is lost.
      if (!found.ended.aborted || context.signal.aborted) throw error;
    }
    return found;
  }
  const { record, size, podUID } = context;
  const { vmCount } = record.value;
  const directory = machineDirectory(context.directory, vmCount);
  await mkdir(directory, { recursive: true, mode: 0o711 });
  const isClone = isUntakenClone(context);
  const spec: MachineSpec = {
    id: `${podUID}-${vmCount}`.slice(0, 63),
    directory,
    vcpus: vcpusFor(size),
    memoryMiB: guestMemoryMiB(size),
    limits: {
      cpuMilli: size.cpuMilli,
      memoryMiB: size.memoryMiB + vmOverhead(size).memoryMiB + machineSlackMiB,
      pids: 256,
      io: diskLimits,
    },
    userId: record.value.userId,
    network: {
      namespacePath: resources.attached.namespacePath,
      tapName: resources.attached.tapName,
      macAddress: resources.eni.spec.macAddress,
    },
    disks: resources.disks,
  };
  const options = { ...context.options, isFromSnapshot: isClone };
  const { template } = resources;
  const forked = template === undefined ? undefined : await Instance.fork(spec, template, options, context.signal);
  if (forked === undefined && isClone) {
    throw new NodeError("the snapshot could not be forked", {
      code: "Internal",
      stage: "boot",
      object: context.pod.metadata.name,
      remedy: "The next try begins by itself; if it fails alike, take another snapshot.",
    });
  }
  const instance = forked ?? (await Instance.boot(spec, options, context.signal));
  context.instance = instance;
  context.startedFrom = isClone ? "snapshot" : forked === undefined ? "cold" : "template";
  context.stage("launched");
  try {
    if (isClone) await instance.connect(context.signal);
    else await instance.greet(context.signal);
  } catch (error) {
    const exit = instance.exit;
    if (exit === undefined || context.signal.aborted) throw error;
    throw new NodeError(`the virtual machine ended while it booted: ${lastWords(exit)}`, {
      code: "Internal",
      stage: "boot",
      object: context.pod.metadata.name,
      remedy: "The next try begins by itself; if all fail alike, the host or its QEMU is at fault.",
      cause: error,
    });
  }
  context.stage("booted");
  await identify(context, instance, resources);
  context.isSandboxReady = true;
  return instance;
}

/** Whether the VM is, or is to be, a fork of a snapshot that does not know yet whose it is. */
function isUntakenClone({ record }: PodContext): boolean {
  return record.value.clone?.containers !== undefined;
}

/** Tells the guest who it is, before it is reachable. */
async function identify(context: PodContext, instance: Instance, resources: Resources): Promise<void> {
  const { size } = context;
  await resources.attached.opened;
  if (isUntakenClone(context)) return await takeUpClone(context, instance);
  await instance.configure(
    {
      ...identityOf(context, resources),
      scratch: { diskSerial: scratchSerial },
      limits: { memoryBytes: size.memoryMiB * 1024 * 1024, cpuMilli: size.cpuMilli },
    },
    context.signal,
  );
  context.stage("configured");
}

/** With randomness that is drawn, and the time as it is, at the call. */
function identityOf({ pod, options, nowMicros }: PodContext, { eni, vpc, attached }: Resources): GuestIdentity {
  return {
    hostname: hostnameOf(pod),
    entropy: randomBytes(64).toString("base64"),
    epochMicros: nowMicros,
    network: {
      macAddress: eni.spec.macAddress,
      address: eni.spec.address,
      gatewayAddress: attached.gatewayAddress,
      gatewayMacAddress: attached.gatewayMacAddress,
      mtu: attached.mtu,
    },
    resolvConf: resolvConf(pod, options.dns, vpc.spec.nat === true),
    hosts: hostsFile(pod, eni.spec.address),
  };
}
