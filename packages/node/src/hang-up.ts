import { connect } from "node:net";

/**
 * Opens a VM's agent socket and closes it again. Resolves also when that fails: whoever connects next finds out.
 *
 * QEMU (7.2) hears nothing of a host that vanishes while the VM is paused: it goes on taking the guest's port for one
 * with a host, the first bytes the guest then sends without one block the port, and only a host that leaves while the
 * VM runs unblocks it. This one does.
 */
export async function hangUp(socketPath: string): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(socketPath, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}
