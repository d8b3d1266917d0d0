export type {
  Accelerator,
  DiskLimits,
  Machine,
  MachineDisk,
  MachineExit,
  MachineSpec,
  MakeScratch,
  Template,
  Templates,
  TemplateShape,
  Vmm,
} from "./contract.ts";
export { VmmError, type VmmErrorCode, vmmErrorCodes } from "./errors.ts";
export { monitorThreads } from "./machine-spec.ts";
export type { AcceleratorChoice } from "./qemu/accelerator.ts";
export { createQemuVmm, type QemuVmmOptions } from "./qemu/qemu-vmm.ts";
