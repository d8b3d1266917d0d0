import type { Accelerator, DiskLimits, MachineDisk, MachineSpec } from "../contract.ts";
import {
  type AddDescriptor,
  type BackingFile,
  type BlockNode,
  blockNode,
  type DescriptorSource,
  type PluggedDisk,
  plugParts,
} from "./block-nodes.ts";
import type { LaunchDescriptor } from "./launch-plan.ts";
import { machineFiles } from "./machine-record.ts";

/** A machine with its slots filled as tenants' are, or as a template's. */
export interface SlottedMachine extends Omit<MachineSpec, "disks" | "network"> {
  readonly network?: MachineSpec["network"] | "placeholder";
  readonly disks: readonly PluggedDisk[];
}

/** Guest RAM in a file: shared, it is written to the file; else its pages are copied when they are written. */
export interface MemoryFile {
  /** The host's path. A shared one belongs to the machine's user. */
  readonly path: string;
  readonly isShared: boolean;
}

/** How a machine begins. Paths of kernel and initramfs are those inside the jail, all others the host's. */
export type Origin =
  | {
      readonly type: "kernel";
      readonly kernelPath: string;
      readonly initramfsPath: string | undefined;
      /** Absent: anonymous memory. */
      readonly memory?: MemoryFile;
    }
  /** From saved device state, which {@link incomingCommands} load; the memory is in the file, or in the state too. */
  | {
      readonly type: "saved";
      readonly memory: MemoryFile;
      readonly statePath: string;
      /** What the scratch disk had below it, or was, when the state was saved. */
      readonly scratchBacking: readonly BackingFile[];
      /** The guest does not run on by itself, nor do forks of what is saved of it here know that it did not. */
      readonly isHeld?: true;
      /** The monitor is to be cloned. */
      readonly zygote?: ZygoteOrigin;
    };

export interface ZygoteOrigin {
  /** Where it takes requests. */
  readonly requestsPath: string;
}

export interface MonitorCommand {
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly descriptors: readonly LaunchDescriptor[];
  /** Of a zygote: numbers of descriptor sets that lead nowhere, in whose place a clone gets what it opens itself. */
  readonly spares: readonly number[];
}

/** Where the jail shows the monitor's own descriptors: memory files are opened by path and nothing else. */
export const descriptorDirectory = "fd";
/** The number under which the monitor finds the saved state it is to load. */
export const stateDescriptor = 9;
/** The numbers under which a zygote's library finds what it needs. */
const zygoteDescriptors = Object.freeze({ threads: 7, requests: 8 });
/** Images have tens of parts; one that has more is forked without a zygote. */
const sparesCount = 48;

/** QEMU's console ring; a power of two. Holds a boot's messages twice over. */
export const consoleRingBytes = 64 * 1024;

/**
 * Transports of `-M microvm` without ACPI: eight, of which the rest stay free. The place of a device is part of the
 * saved state, so a machine that lacks one leaves its transport empty.
 */
const slots = Object.freeze({ serial: 0, network: 1, image: 2, scratch: 3, scsi: 4 });

const throttleGroupId = "io";

/** Gives the monitor's disks, which are throttled already, these limits. */
export function limitDisksCommand(io: DiskLimits): MonitorRequest {
  return {
    command: "qom-set",
    args: { path: `/objects/${throttleGroupId}`, property: "limits", value: throttleLimits(io) },
  };
}

/**
 * Bound of TCG's translation cache. It is touched as guest code runs and never given back; when full, all of it is
 * thrown away and translated anew. Boot to user space, median of five on two cores of the reference machine:
 * 8 MiB 1.03 s, 12 MiB 0.89 s, 24 MiB and more 0.77 s, unbounded 0.79 s. Programs in containers need more than the boot.
 */
const tbSizeMiB = 64;

/** What a machine's monitor answers when it is asked for its name. */
export function monitorName(id: string): string {
  return `isopod-${id}`;
}

/** QEMU's arguments for a machine, and what must be open under which number for them. Pure. */
export function monitorCommand(
  spec: SlottedMachine,
  accelerator: Accelerator["name"],
  kernelCommandLine: string,
  origin: Origin,
): MonitorCommand {
  const descriptors: LaunchDescriptor[] = [];
  const add: AddDescriptor = (descriptor) => {
    // The standard streams, the launcher's control socket and the saved state come before.
    const number = stateDescriptor + 1 + descriptors.length;
    descriptors.push({ number, ...descriptor });
    return number;
  };
  const qmp = add({ type: "listen", path: `${spec.directory}/${machineFiles.qmp}` });
  const agent = add({ type: "listen", path: `${spec.directory}/${machineFiles.agent}` });
  const memory = memoryArguments(spec.memoryMiB, origin.memory, add);
  const isFork = origin.memory?.isShared === false;
  const zygote = origin.type === "saved" ? origin.zygote : undefined;
  // Whatever a fork's guest used for the first time would grow the template: see the library's source.
  const libraries = [
    ...(isFork ? [add({ type: "template-memory" })] : []),
    ...(zygote === undefined ? [] : [add({ type: "zygote-library" })]),
  ].map((number) => `/${descriptorDirectory}/${number}`);
  const preloaded = libraries.length === 0 ? {} : { LD_PRELOAD: libraries.join(":") };
  const args = [
    // The longer, the more room there is for a clone's own name.
    ["-name", zygote === undefined ? monitorName(spec.id) : `${monitorName(spec.id)},debug-threads=off`],
    ["-nodefaults", "-no-user-config", "-display", "none"],
    // A zygote's would keep it from making clones; each of those has the launcher's in its place.
    zygote === undefined ? ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"] : [],
    acceleratorArguments(accelerator),
    ["-M", machineType(kernelCommandLine)],
    ["-global", "virtio-mmio.force-legacy=false"],
    ["-smp", String(spec.vcpus)],
    memory.arguments,
    // QEMU aborts when it cannot start a thread; the bound keeps it well inside the cgroup's limit on them.
    ["-object", "main-loop,id=main-loop,thread-pool-max=16"],
    originArguments(origin, kernelCommandLine),
    // A guest that ends stays, stopped, until its owner has read the console and ends the monitor: nothing about the
    // end is lost while the service is away, and an end by the guest's own will can be told from a crash.
    ["-action", "reboot=shutdown,shutdown=pause"],
    ["-chardev", `ringbuf,id=console,size=${consoleRingBytes}`, "-serial", "chardev:console"],
    ["-chardev", `socket,id=qmp,fd=${qmp},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    ["-chardev", `socket,id=agent,fd=${agent},server=on,wait=off`],
    ["-device", `virtio-serial-device,id=serial,${busOf(slots.serial)},max_ports=2`],
    ["-device", "virtserialport,bus=serial.0,nr=1,chardev=agent,name=isopod.agent"],
    networkArguments(spec.network, add),
  ].flat();
  // Also where nothing is on it: state that was saved of one machine fits every other.
  args.push("-device", `virtio-scsi-device,id=scsi,${busOf(slots.scsi)}`);
  // A clone cannot be given a group that its zygote lacks, only other limits.
  const io = spec.limits.io ?? (zygote === undefined ? undefined : {});
  if (io !== undefined) args.push("-object", throttleGroup(io));
  for (const [index, disk] of spec.disks.entries()) {
    const node = diskNode(index);
    const isScratch = index === 1;
    const backing = isScratch && origin.type === "saved" ? { backing: origin.scratchBacking } : {};
    const tree = blockNode(disk, node, add, { isEphemeral: isScratch, ...backing });
    const top = io === undefined ? tree : throttled(tree);
    args.push("-blockdev", JSON.stringify({ ...top, "node-name": node }));
    const { driver, ...properties } = diskDevice(disk, index, node);
    args.push("-device", [driver, ...Object.entries(properties).map(([name, value]) => `${name}=${value}`)].join());
  }
  const spares = Array.from({ length: zygote === undefined ? 0 : sparesCount }, () =>
    add({ type: "file", path: "/dev/null", isWritable: false }),
  );
  for (const { number, type } of descriptors) {
    const isOfDisk = (type === "file" || type === "bytes") && number !== memory.number;
    if (isOfDisk) args.push("-add-fd", `fd=${number},set=${number}`);
  }
  if (origin.type === "saved") {
    descriptors.push({ number: stateDescriptor, type: "file", path: origin.statePath, isWritable: false });
  }
  if (zygote !== undefined) {
    descriptors.push(
      { number: zygoteDescriptors.threads, type: "threads" },
      { number: zygoteDescriptors.requests, type: "requests", path: zygote.requestsPath },
    );
  }
  return { arguments: args, environment: { LC_ALL: "C", ...preloaded }, descriptors, spares };
}

/** A command of the monitor's control protocol. */
export interface MonitorRequest {
  readonly command: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** What has a monitor of a saved origin load its state; it then goes on if the state was saved of a running machine. */
export function incomingCommands(memory: "in the file" | "in the state"): readonly MonitorRequest[] {
  const capabilities = [{ capability: "x-ignore-shared", state: memory === "in the file" }];
  return [
    { command: "migrate-set-capabilities", args: { capabilities } },
    { command: "migrate-incoming", args: { uri: `fd:${stateDescriptor}` } },
  ];
}

function acceleratorArguments(accelerator: Accelerator["name"]): readonly string[] {
  if (accelerator === "kvm") return ["-accel", "kvm", "-cpu", "host"];
  // Every feature TCG has, under a family for which Linux takes no detour around an old AMD erratum when idle.
  return ["-accel", `tcg,thread=multi,tb-size=${tbSizeMiB}`, "-cpu", "max,family=23,model=49"];
}

/** What is on the board; packages/guest/kernel/README.md has the measurements. */
function machineType(kernelCommandLine: string): string {
  // Told the rate of the local APIC timer, the kernel needs no other; without it, it panics for want of the old ones.
  const oldTimers = kernelCommandLine.includes("lapic_timer_khz=") ? "off" : "on";
  const timers = `pit=${oldTimers},pic=${oldTimers}`;
  // With ACPI, QEMU would describe the virtio transports in tables the kernel does not read. Without a clock chip (rtc)
  // the kernel reads nonsense in its place and waits, one boot in two, for a second.
  return `microvm,acpi=off,auto-kernel-cmdline=on,isa-serial=on,x-option-roms=off,rtc=on,${timers},memory-backend=ram`;
}

/**
 * Guest memory, under the name `ram` in every machine: saved device state refers to it by that name. In a file it is
 * opened for writing whatever its mapping, which is why a template's is sealed.
 */
function memoryArguments(
  memoryMiB: number,
  file: MemoryFile | undefined,
  add: AddDescriptor,
): { readonly arguments: readonly string[]; readonly number: number | undefined } {
  const withBackend = (type: string, more = ""): readonly string[] => [
    "-m",
    `${memoryMiB}M`,
    "-object",
    `memory-backend-${type},id=ram,size=${memoryMiB}M${more}`,
  ];
  if (file === undefined) return { arguments: withBackend("ram"), number: undefined };
  const number = add({ type: "file", path: file.path, isWritable: file.isShared });
  const share = file.isShared ? "on" : "off";
  const path = `/${descriptorDirectory}/${number}`;
  // Not to be in a descriptor set: QEMU would close the number that the path names.
  return { arguments: withBackend("file", `,mem-path=${path},share=${share}`), number };
}

function originArguments(origin: Origin, kernelCommandLine: string): readonly string[] {
  if (origin.type === "saved") {
    const held = origin.isHeld === true ? ["-S", "-global", "migration.store-global-state=off"] : [];
    return ["-incoming", "defer", ...held];
  }
  const initramfs = origin.initramfsPath === undefined ? [] : ["-initrd", origin.initramfsPath];
  return ["-kernel", origin.kernelPath, "-append", kernelCommandLine, ...initramfs];
}

/** A machine's tap, for the launcher. */
export function tapDescriptor({ namespacePath, tapName }: NonNullable<MachineSpec["network"]>): DescriptorSource {
  // Seen from this process: a launcher that waits may be older than the namespace.
  return { type: "tap", namespacePath: `/proc/${process.pid}/root${namespacePath}`, name: tapName };
}

function networkArguments(network: SlottedMachine["network"], add: AddDescriptor): readonly string[] {
  if (network === undefined) return [];
  const isPlaceholder = network === "placeholder";
  const tap = add(isPlaceholder ? { type: "placeholder-tap" } : tapDescriptor(network));
  // A fork's guest keeps the template's address until it is told its own.
  const mac = isPlaceholder ? "02:00:00:00:00:01" : network.macAddress;
  // Else every fork would announce its template's address to the world.
  const device = `virtio-net-device,netdev=net,mac=${mac},guest_announce=off,${busOf(slots.network)}`;
  return ["-netdev", `tap,id=net,fd=${tap}`, "-device", device];
}

/**
 * By QEMU and not by a cgroup: version 1 bounds no writes that pass the page cache, neither version knows the bytes of
 * a disk that is not on a local device, and the guest is the only one who has to wait.
 */
function throttleGroup(io: DiskLimits): string {
  return JSON.stringify({ "qom-type": "throttle-group", id: throttleGroupId, limits: throttleLimits(io) });
}

function throttleLimits(io: DiskLimits): Readonly<Record<string, number | undefined>> {
  return {
    "bps-read": io.readBytesPerSecond,
    "bps-write": io.writeBytesPerSecond,
    "iops-read": io.readIops,
    "iops-write": io.writeIops,
  };
}

function throttled(tree: BlockNode): BlockNode {
  const isReadOnly = tree["read-only"] === true;
  return { driver: "throttle", "throttle-group": throttleGroupId, "read-only": isReadOnly, file: tree };
}

/**
 * What gives the clone of a zygote its disks, while its guest stands still. Not the scratch disk: its file is replaced
 * under the monitor.
 */
export function plugDisks(disks: readonly MachineDisk[], add: AddDescriptor): readonly MonitorRequest[] {
  return disks.flatMap((disk, index): readonly MonitorRequest[] => {
    const node = diskNode(index);
    if (index === 0) return disk.type === "parts" ? plugParts(disk.parts, node, add) : [];
    if (index === 1) return [];
    const tree = throttled(blockNode(disk, node, add, { isEphemeral: false }));
    return [
      { command: "blockdev-add", args: { ...tree, "node-name": node } },
      { command: "device_add", args: diskDevice(disk, index, node) },
    ];
  });
}

function diskDevice(disk: PluggedDisk, index: number, node: string): Readonly<Record<string, string | number>> {
  const common = { drive: node, serial: disk.serial };
  if (index === 0) return { driver: "virtio-blk-device", ...common, bus: busName(slots.image) };
  if (index === 1) return { driver: "virtio-blk-device", ...common, bus: busName(slots.scratch) };
  return { driver: "scsi-hd", bus: "scsi.0", "scsi-id": 0, lun: index - 2, ...common };
}

function diskNode(index: number): string {
  return `disk${index}`;
}

function busOf(slot: number): string {
  return `bus=${busName(slot)}`;
}

function busName(slot: number): string {
  return `virtio-mmio-bus.${slot}`;
}
