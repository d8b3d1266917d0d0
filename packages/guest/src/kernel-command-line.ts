/**
 * What the guest kernel is told, in the words of `kernel/README.md`. QEMU's microvm adds a `virtio_mmio.device=` for
 * each transport by itself.
 */
export const kernelCommandLine = "console=ttyS0 reboot=t panic=-1";
