import { IsopodError } from "@isopod/base";

export const vmmErrorCodes = [
  /** The caller is not root; jails, taps and cgroups need it. */
  "NotRoot",
  /** QEMU is not installed. */
  "MissingProgram",
  /** KVM was asked for and cannot run the guest kernel. */
  "NoAccelerator",
  /** The machine's description contradicts itself or a limit; nothing was started. */
  "InvalidSpec",
  /** A disk's file is missing or cannot be opened. */
  "DiskUnavailable",
  /** The tap device or its network namespace is missing or in use. */
  "TapUnavailable",
  /** No cgroup hierarchy with cpu, memory and pids can be used. */
  "CgroupUnavailable",
  /** The jail could not be built, or the monitor ended while starting. */
  "LaunchFailed",
  /** The monitor did not answer in time. */
  "BootTimeout",
  /** The host's disk or memory file system is full. */
  "NoSpace",
  /** There is no template of that id. */
  "NotFound",
  /** A template could not be made, or its files are not what they were. */
  "TemplateFailed",
  /** A machine could not be saved; it runs on. */
  "SnapshotFailed",
  /** A running monitor refused a command, answered nonsense, or is held by another client. */
  "MonitorFailed",
] as const;
export type VmmErrorCode = (typeof vmmErrorCodes)[number];

/** A machine could not be started or controlled. */
export class VmmError extends IsopodError<VmmErrorCode> {}
