import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { initramfs } from "./initramfs.ts";

const kernelImage = fileURLToPath(new URL("../../../guest/dist/vmlinux.zst", import.meta.url));
const busybox = "/usr/bin/busybox";

/** PID 1: a shell on the port `isopod.agent`, a new one whenever the last one ended. Its own end is a kernel panic. */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
echo "shell guest is up" >/dev/console
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name)" = isopod.agent ] && device=/dev/\${port##*/}
done
while [ ! -e /tmp/panic ]; do sh <>$device >&0 2>&0; sleep 0.1; done
`;

/** As packages/guest/kernel/README.md has it for emulation. */
const commandLine = [
  "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable no_timer_check",
  "lapic_timer_khz=1000000 lpj=10000000 noreplace-smp mitigations=off swiotlb=noforce",
].join(" ");

export interface GuestFiles {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly commandLine: string;
}

/** The guest kernel and an initramfs with busybox-static, for tests of machines; written into `directory`. */
export async function shellGuest(directory: string): Promise<GuestFiles> {
  const kernelPath = join(directory, "vmlinux");
  const initramfsPath = join(directory, "initramfs");
  await writeFile(kernelPath, await promisify(zstdDecompress)(await readFile(kernelImage)));
  const archive = initramfs([
    ...["bin", "dev", "proc", "sys", "tmp"].map((path) => ({ path, isDirectory: true }) as const),
    { path: "bin/busybox", content: await readFile(busybox) },
    { path: "init", content: Buffer.from(init) },
  ]);
  await writeFile(initramfsPath, archive);
  return { kernelPath, initramfsPath, commandLine };
}

/** Runs commands in a shell guest through its agent socket, one after another. */
export class GuestShell implements Disposable {
  readonly #socket: Socket;
  #received = "";
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received += chunk.toString("latin1");
      this.#wake?.();
    });
    socket.on("close", () => this.#wake?.());
    socket.on("error", () => {});
  }

  /** Waits for the guest to come up, and for its shell. */
  static async connect(agentSocketPath: string, timeoutMs = 120_000): Promise<GuestShell> {
    const socket = connect({ path: agentSocketPath });
    await once(socket, "connect");
    const shell = new GuestShell(socket);
    const deadlineMs = performance.now() + timeoutMs;
    // What is written before the guest opens its port vanishes, hence the repetition.
    while ((await shell.#attempt("true", 500)) === undefined) {
      if (socket.destroyed || performance.now() > deadlineMs) throw new Error("the guest's shell does not answer");
    }
    return shell;
  }

  /** The output, both kinds, of one command line. */
  async run(command: string, timeoutMs = 120_000): Promise<string> {
    const output = await this.#attempt(command, timeoutMs);
    if (output === undefined) throw new Error(`no answer to ${command}; received: ${this.#received.slice(-2000)}`);
    return output;
  }

  async #attempt(command: string, timeoutMs: number): Promise<string | undefined> {
    const marker = randomBytes(8).toString("hex");
    // The markers are put together by the shell, so that an echo of the command does not look like its answer.
    this.#socket.write(`\necho "begin:"${marker}; { ${command}\n} 2>&1; echo "end:"${marker}\n`);
    const output = await this.#until(`end:${marker}`, performance.now() + timeoutMs);
    if (output === undefined) return undefined;
    this.#received = "";
    const begin = `begin:${marker}`;
    return output.slice(output.lastIndexOf(begin) + begin.length).trim();
  }

  async #until(marker: string, deadlineMs: number): Promise<string | undefined> {
    while (!this.#received.includes(marker)) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0 || this.#socket.destroyed) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
    return this.#received.slice(0, this.#received.indexOf(marker));
  }

  /** Sends without waiting for an end, for commands after which there is no guest. */
  send(command: string): void {
    this.#socket.write(`\n${command}\n`);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
