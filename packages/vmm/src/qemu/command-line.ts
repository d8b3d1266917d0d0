import type { Accelerator, MachineDisk, MachineSpec } from "../contract.ts";
import type { LaunchDescriptor } from "./launch-plan.ts";
import { machineFiles } from "./machine-record.ts";
import { vmdkDescriptor } from "./vmdk-descriptor.ts";

/** What a machine boots; paths are those inside the jail. */
export interface BootFiles {
  readonly kernelPath: string;
  readonly initramfsPath: string | undefined;
  readonly commandLine: string;
}

export interface MonitorCommand {
  readonly arguments: readonly string[];
  readonly descriptors: readonly LaunchDescriptor[];
}

/** QEMU's console ring; a power of two. Holds a boot's messages twice over. */
export const consoleRingBytes = 64 * 1024;

/**
 * Transports of `-M microvm` without ACPI: eight, of which the rest stay free. The place of a device is part of a
 * template's saved state, so a machine that lacks one leaves its transport empty.
 */
const slots = Object.freeze({ serial: 0, network: 1, image: 2, scratch: 3, scsi: 4 });

/**
 * Bound of TCG's translation cache. It is touched as guest code runs and never given back; when full, all of it is
 * thrown away and translated anew. Boot to user space, median of five on two cores of the reference machine:
 * 8 MiB 1.03 s, 12 MiB 0.89 s, 24 MiB and more 0.77 s, unbounded 0.79 s. Programs in containers need more than the boot.
 */
const tbSizeMiB = 64;

/** QEMU's arguments for a machine, and what must be open under which number for them. Pure. */
export function monitorCommand(spec: MachineSpec, accelerator: Accelerator["name"], boot: BootFiles): MonitorCommand {
  const descriptors: LaunchDescriptor[] = [];
  const add = (descriptor: DescriptorSource): number => {
    // The standard streams and the launcher's control socket come before.
    const number = 10 + descriptors.length;
    descriptors.push({ number, ...descriptor });
    return number;
  };
  const qmp = add({ type: "listen", path: `${spec.directory}/${machineFiles.qmp}` });
  const agent = add({ type: "listen", path: `${spec.directory}/${machineFiles.agent}` });
  const args = [
    ["-name", `isopod-${spec.id}`],
    ["-nodefaults", "-no-user-config", "-display", "none"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    acceleratorArguments(accelerator),
    ["-M", machineType(boot.commandLine)],
    ["-global", "virtio-mmio.force-legacy=false"],
    ["-smp", String(spec.vcpus)],
    memoryArguments(spec.memoryMiB),
    // QEMU aborts when it cannot start a thread; the bound keeps it well inside the cgroup's limit on them.
    ["-object", "main-loop,id=main-loop,thread-pool-max=16"],
    ["-kernel", boot.kernelPath, "-append", boot.commandLine],
    boot.initramfsPath === undefined ? [] : ["-initrd", boot.initramfsPath],
    // A guest that ends stays, stopped, until its owner has read the console and ends the monitor: nothing about the
    // end is lost while the service is away, and an end by the guest's own will can be told from a crash.
    ["-action", "reboot=shutdown,shutdown=pause"],
    ["-chardev", `ringbuf,id=console,size=${consoleRingBytes}`, "-serial", "chardev:console"],
    ["-chardev", `socket,id=qmp,fd=${qmp},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    ["-chardev", `socket,id=agent,fd=${agent},server=on,wait=off`],
    ["-device", `virtio-serial-device,id=serial,${busOf(slots.serial)},max_ports=2`],
    ["-device", "virtserialport,bus=serial.0,nr=1,chardev=agent,name=isopod.agent"],
  ].flat();
  if (spec.network !== undefined) {
    const tap = add({ type: "tap", namespacePath: spec.network.namespacePath, name: spec.network.tapName });
    args.push("-netdev", `tap,id=net,fd=${tap}`);
    args.push("-device", `virtio-net-device,netdev=net,mac=${spec.network.macAddress},${busOf(slots.network)}`);
  }
  if (spec.disks.length > 2) args.push("-device", `virtio-scsi-device,id=scsi,${busOf(slots.scsi)}`);
  for (const [index, disk] of spec.disks.entries()) {
    const node = `disk${index}`;
    // The scratch disk ends with its machine, so its flushes need not reach the host's disk; others' must.
    args.push("-blockdev", JSON.stringify({ ...blockNode(disk, add, index === 1), "node-name": node }));
    args.push("-device", diskDevice(disk, index, node));
  }
  for (const { number } of descriptors.filter((one) => one.type === "file" || one.type === "bytes")) {
    args.push("-add-fd", `fd=${number},set=${number}`);
  }
  return { arguments: args, descriptors };
}

type DescriptorSource = LaunchDescriptor extends infer One
  ? One extends unknown
    ? Omit<One, "number">
    : never
  : never;
type AddDescriptor = (descriptor: DescriptorSource) => number;
type BlockNode = Readonly<Record<string, unknown>>;

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
 * Guest memory, under the name `ram` in every machine: saved device state refers to it by that name, so a machine
 * forked from a template may put a privately mapped file in its place here and nowhere else.
 */
function memoryArguments(memoryMiB: number): readonly string[] {
  return ["-m", `${memoryMiB}M`, "-object", `memory-backend-ram,id=ram,size=${memoryMiB}M`];
}

function diskDevice(disk: MachineDisk, index: number, node: string): string {
  const common = `drive=${node},serial=${disk.serial}`;
  if (index === 0) return `virtio-blk-device,${common},${busOf(slots.image)}`;
  if (index === 1) return `virtio-blk-device,${common},${busOf(slots.scratch)}`;
  return `scsi-hd,bus=scsi.0,scsi-id=0,lun=${index - 2},${common}`;
}

function blockNode(disk: MachineDisk, add: AddDescriptor, isEphemeral: boolean): BlockNode {
  if (disk.type === "parts") return partsNode(disk.parts, add);
  const options = { discard: "unmap", cache: { direct: false, "no-flush": isEphemeral } };
  return {
    driver: "qcow2",
    ...options,
    file: { ...fileNode(add({ type: "file", path: disk.path, isWritable: true })), ...options },
    // Null is not the same as nothing: QEMU must never open what the file's header names.
    backing: disk.backingPath === undefined ? null : readOnlyRaw(add, disk.backingPath),
  };
}

function partsNode(parts: (MachineDisk & { type: "parts" })["parts"], add: AddDescriptor): BlockNode {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return { ...readOnlyRaw(add, first.path), size: first.sizeBytes };
  const extents = parts.map((part) => {
    const number = add({ type: "file", path: part.path, isWritable: false });
    return { path: `/dev/fdset/${number}`, sizeBytes: part.sizeBytes };
  });
  const descriptor = add({ type: "bytes", content: vmdkDescriptor(extents) });
  return { driver: "vmdk", "read-only": true, file: { ...fileNode(descriptor), "read-only": true } };
}

function readOnlyRaw(add: AddDescriptor, path: string): BlockNode {
  const file = fileNode(add({ type: "file", path, isWritable: false }));
  return { driver: "raw", "read-only": true, file: { ...file, "read-only": true } };
}

function fileNode(descriptor: number): BlockNode {
  return { driver: "file", filename: `/dev/fdset/${descriptor}` };
}

function busOf(slot: number): string {
  return `bus=virtio-mmio-bus.${slot}`;
}
