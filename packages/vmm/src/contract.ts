/**
 * Runs microVMs: one jailed virtual machine monitor process per instance, found again after a restart of the caller.
 *
 * A machine's directory (`MachineSpec.directory`) holds its sockets and the record by which it is found again.
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
  | {
      readonly type: "qcow2";
      readonly serial: string;
      readonly path: string;
      readonly backingPath?: string;
      /** What the guest sees. The file may not grow much beyond it. */
      readonly sizeBytes: number;
    };

/** What is absent is unbounded. Each is an average; a tenth of a second's worth may come at once. */
export interface DiskLimits {
  readonly readBytesPerSecond?: number;
  readonly writeBytesPerSecond?: number;
  readonly readIops?: number;
  readonly writeIops?: number;
}

export interface MachineSpec {
  /** `[a-z0-9-]{1,63}`, unique on the host. */
  readonly id: string;
  /** Exists, empty, owned by root, absolute, at most 96 bytes long (a socket is in it); the same in {@link Vmm.find}. */
  readonly directory: string;
  readonly vcpus: number;
  /** Guest RAM. */
  readonly memoryMiB: number;
  /**
   * Bounds of the VM process's cgroup. `cpuMilli` counts once {@link Machine.limitCpu} is called; until then it may use
   * its vCPUs and one more. `memoryMiB` has to
   * hold what the guest uses of its RAM, 40 MiB of the monitor and, under emulation, up to 64 MiB of translated code:
   * a machine that outgrows it is ended. `pids` is at least `vcpus` + `monitorThreads`. `io` is of all disks together.
   */
  readonly limits: {
    readonly cpuMilli: number;
    readonly memoryMiB: number;
    readonly pids: number;
    readonly io?: DiskLimits;
  };
  /** User and group id of the VM process: one per instance, no other process has it. */
  readonly userId: number;
  /** The tap device `tapName` already exists in the network namespace bound at `namespacePath`. */
  readonly network?: { readonly namespacePath: string; readonly tapName: string; readonly macAddress: string };
  /**
   * First = the image slot, second = scratch; others go on virtio-scsi. Scratch ends with its machine, so a guest's
   * flushes of it do not reach the host's disk; those of the others do.
   */
  readonly disks: readonly MachineDisk[];
}

export interface MachineExit {
  /** Exit code of the monitor, when its parent is still alive to learn it. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** True when the guest ended itself, other than by a panic, or the machine was stopped by {@link Machine.kill}. */
  readonly isExpected: boolean;
  /**
   * Last of the monitor's stderr and of the serial console, at most 4 KiB each. The console is the guest's word, and
   * empty when the monitor died under the guest.
   */
  readonly stderrTail: string;
  readonly consoleTail: string;
}

export interface SnapshotSummary {
  /** How long the guest stood still. */
  readonly pausedMs: number;
  /** On the host's disk. */
  readonly sizeBytes: number;
}

export interface Machine {
  readonly id: string;
  readonly pid: number;
  readonly directory: string;
  /** Unix socket behind the guest's virtio-serial port `isopod.agent`. */
  readonly agentSocketPath: string;
  /**
   * Settles when the monitor process is gone, however it went, also when another process started it. By then its
   * cgroup, sockets and record are gone too; the directory is left empty. Never rejects.
   */
  readonly exited: Promise<MachineExit>;
  /** Puts the CPU quota of fractions of a vCPU into force; called when the first container starts. */
  limitCpu(): Promise<void>;
  /** The guest stands still: it was stopped by {@link pause}, also by an earlier process. */
  readonly isPaused: boolean;
  /** Stops the guest's CPUs, and with them its clock; what it has on the line waits. Idempotent. */
  pause(): Promise<void>;
  /** Lets it go on. Its wall clock is behind by then. Idempotent. */
  resume(): Promise<void>;
  /**
   * Saves memory, devices and scratch disk as of one instant, as a template of its own in the new directory `directory`,
   * to be opened by {@link Vmm.openSnapshot}. The guest runs on while its memory is written, stands still for a moment,
   * and then goes on (one that was paused stays so). An aborted signal cancels it: then nothing is left of it and the
   * guest goes on as if nothing had been asked. Throws `VmmError` (stage `snapshot`).
   */
  snapshot(directory: string, signal?: AbortSignal): Promise<SnapshotSummary>;
  /** Ends the monitor at once and waits until it is gone. Idempotent. */
  kill(): Promise<void>;
  /** Forgets the machine without ending it (the caller is about to exit). */
  detach(): void;
}

/** What a template is made for: machines of equal shape are forked from one template. */
export interface TemplateShape {
  readonly vcpus: number;
  /** Guest RAM. */
  readonly memoryMiB: number;
  /** Size of the scratch disk, whose file system the guest has mounted when it is forked. */
  readonly scratchBytes: number;
}

/** A machine that is booted, or was saved, up to the point where it can be forked: read-only, shared by its forks. */
export interface Template {
  readonly id: string;
  readonly shape: TemplateShape;
  /** On the host's disk. */
  readonly sizeBytes: number;
  /** Microseconds since the epoch. */
  readonly builtMicros: number;
  /** Its memory is in the host's memory, so that a fork begins at once. */
  readonly isLoaded: boolean;
  /** See {@link Templates.keepZygote}. */
  readonly hasZygote: boolean;
  /** Gives that memory back, once no fork has it; the next fork loads it again. */
  unload(): Promise<void>;
}

/** Makes an empty scratch disk of a shape's size at `path` for that user, over the raw file `backingPath`, which stays. */
export type MakeScratch = (path: string, userId: number) => Promise<{ readonly backingPath: string }>;

/**
 * Booted templates, kept on disk under a digest of all they depend on: kernel, agent, monitor, CPU, shape, slots.
 * One whose files do not agree with their digests is never used. Throws `VmmError` (stage `template`).
 */
export interface Templates {
  list(): Promise<readonly Template[]>;
  /** The template of that shape, loaded; undefined when there is none, or only a damaged one, which is removed. */
  find(shape: TemplateShape): Promise<Template | undefined>;
  /**
   * {@link find}, or else boots one (about two seconds).
   */
  build(shape: TemplateShape, makeScratch: MakeScratch, signal?: AbortSignal): Promise<Template>;
  /**
   * Makes a zygote of the template, if it has none: a fork that has rehearsed the start of an instance and stands still.
   * Forks of the template are then clones of its monitor process, which has guest code translated already; they share
   * the layout of its addresses. It goes with {@link dropZygote}, with the template, or with this process; forks live
   * on. `makeScratch` as for {@link build}. Only under emulation, as KVM's machines cannot be cloned: else does nothing.
   */
  keepZygote(template: Template, makeScratch: MakeScratch, signal?: AbortSignal): Promise<void>;
  dropZygote(template: Template): Promise<void>;
  /** Machines forked from it run on. Throws `NotFound`. */
  remove(id: string): Promise<void>;
}

/** Throws `VmmError` (stage `boot`, codes in errors.ts) and the reason of an aborted signal. */
export interface Vmm {
  /** What machines run on; probed once per kernel and CPU, the result cached on disk. */
  readonly accelerator: Accelerator;
  /** The virtual machine monitor's name and version, as in `QEMU 7.2.22`. */
  readonly version: string;
  /**
   * Cold boot. Returns once the monitor runs; readiness is the guest client's to find out. A boot that fails leaves
   * nothing behind. A process killed in the middle of it leaves what {@link Vmm.find} finds or clears away.
   */
  boot(spec: MachineSpec, signal?: AbortSignal): Promise<Machine>;
  /**
   * As {@link boot}, but the machine goes on from where its template is, in milliseconds. It has the template's shape, a
   * network, an image and a scratch disk, which begins with what the template has on its own. The guest is to be given
   * its identity and fresh entropy before anything runs in it. Disks after the second are plugged in as it starts.
   */
  fork(spec: MachineSpec, template: Template, signal?: AbortSignal): Promise<Machine>;
  readonly templates: Templates;
  /**
   * The snapshot of that directory, for {@link fork}: the fork goes on where the snapshot's machine was, its containers
   * running, and is to be given an identity of its own. It has as many disks. Undefined when there is none, or a damaged
   * one. Whoever opens it gives it back by `unload`; deleting the directory afterwards hurts no fork.
   */
  openSnapshot(directory: string): Promise<Template | undefined>;
  /**
   * The machine of that directory if its monitor still runs (pid, start time and QMP agree); otherwise whatever it
   * left is cleared away. A guest that ended while nobody was there is found, and its `exited` tells of it.
   */
  find(directory: string): Promise<Machine | undefined>;
  /**
   * Ends the machine of that directory at once, whether it answers or not, and removes what it left on the host but the
   * directory; nothing happens when there is none. To be called before the directory is deleted. Throws when something
   * could not be removed: then its record stays there, and a later call goes on.
   */
  end(directory: string): Promise<void>;
  /** Gives back what is loaded of templates, and ends what waits for a start. Machines run on. */
  close(): Promise<void>;
}
