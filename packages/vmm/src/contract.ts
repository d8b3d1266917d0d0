/**
 * Runs microVMs: one jailed virtual machine monitor process per instance, found again after a restart of the caller.
 *
 * All state of a machine is in its own directory (`MachineSpec.directory`): sockets, serial console, pid file, logs.
 */
export interface Accelerator {
  readonly name: "kvm" | "tcg";
  /** Why KVM is not used, for the log; undefined when it is. */
  readonly reason: string | undefined;
}

/** A disk behind a device slot. The guest finds it by `serial` (virtio serial number, at most 20 characters). */
export type MachineDisk =
  /** Read-only concatenation of whole files (an image's EROFS disk). */
  | {
      readonly type: "parts";
      readonly serial: string;
      readonly parts: readonly { readonly path: string; readonly sizeBytes: number }[];
    }
  /** Writable qcow2 with a raw backing file, or none. */
  | { readonly type: "qcow2"; readonly serial: string; readonly path: string; readonly backingPath?: string };

export interface MachineSpec {
  /** `[a-z0-9-]{1,63}`, unique on the host. */
  readonly id: string;
  /** Exists, empty, owned by root; the jail is built in it. */
  readonly directory: string;
  readonly vcpus: number;
  /** Guest RAM. */
  readonly memoryMiB: number;
  /** CPU quota of the VM process once {@link Machine.limitCpu} is called, and memory bound of its cgroup. */
  readonly limits: { readonly cpuMilli: number; readonly memoryMiB: number; readonly pids: number };
  /** User and group id of the VM process: one per instance, no other process has it. */
  readonly userId: number;
  /** The tap device `tapName` already exists in the network namespace bound at `namespacePath`. */
  readonly network?: { readonly namespacePath: string; readonly tapName: string; readonly macAddress: string };
  /** First = the image slot, second = scratch; others go on virtio-scsi. */
  readonly disks: readonly MachineDisk[];
}

export interface MachineExit {
  /** Exit code of the monitor, when its parent is still alive to learn it. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** True when the guest powered itself off or the machine was stopped by {@link Machine.kill}. */
  readonly isExpected: boolean;
  /** Last lines of the monitor's stderr and of the serial console, at most 4 KiB each. */
  readonly stderrTail: string;
  readonly consoleTail: string;
}

export interface Machine {
  readonly id: string;
  readonly pid: number;
  readonly directory: string;
  /** Unix socket behind the guest's virtio-serial port `isopod.agent`. */
  readonly agentSocketPath: string;
  /** Settles when the monitor process is gone, however it went, also when another process started it. */
  readonly exited: Promise<MachineExit>;
  /** Puts the CPU quota of fractions of a vCPU into force; called when the first container starts. */
  limitCpu(): Promise<void>;
  /** Ends the monitor at once and waits until it is gone. Idempotent. */
  kill(): Promise<void>;
  /** Forgets the machine without ending it (the caller is about to exit). */
  detach(): void;
}

/** Throws `VmmError` (stage `boot`): `NoAccelerator`, `MissingProgram`, `InvalidSpec`, `LaunchFailed`, `BootTimeout`, `NoSpace`, … */
export interface Vmm {
  /** What machines run on; probed once per kernel and CPU, the result cached on disk. */
  readonly accelerator: Accelerator;
  /** The virtual machine monitor's name and version, as in `QEMU 7.2.22`. */
  readonly version: string;
  /** Cold boot. Returns once the monitor runs; readiness is the guest client's to find out. */
  boot(spec: MachineSpec, signal?: AbortSignal): Promise<Machine>;
  /** The machine of that directory if its monitor still runs (pid, start time and QMP agree). */
  find(directory: string): Promise<Machine | undefined>;
}
