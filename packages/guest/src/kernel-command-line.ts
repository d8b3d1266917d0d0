/** In the words of `kernel/README.md`, which says what each is for and what it saves. */
const common =
  "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable no_timer_check lapic_timer_khz=1000000 swiotlb=noforce scsi_mod.scan=manual";
const emulated = "lpj=10000000 noreplace-smp mitigations=off";

/**
 * What the guest kernel is told. The machine must be the one of `kernel/README.md`: without `pit` and `pic`, as the
 * rate of the local timer is told here. QEMU's microvm adds a `virtio_mmio.device=` for each transport by itself.
 */
export function kernelCommandLine(accelerator: "kvm" | "tcg"): string {
  return accelerator === "tcg" ? `${common} ${emulated}` : common;
}
