import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import { guestArtifacts } from "../artifacts.ts";
import { greetGuest } from "../connect.ts";
import type { GuestConfiguration } from "../contract.ts";
import { kernelCommandLine } from "../kernel-command-line.ts";
import { placeholderImage } from "../placeholder-image.ts";
import { Monitor } from "./monitor.ts";
import { makeBusyboxDisk, makeScratchDisk } from "./test-disks.ts";

export interface TestMachineOptions {
  readonly memoryMiB?: number;
  readonly scratchMiB?: number;
  readonly vcpus?: number;
  /** The image disk once more, on a SCSI controller, with the serial `scsi-image`. */
  readonly hasScsiImage?: boolean;
  /** What a fork's image disk begins with; default: the busybox image. `putImage` changes it. */
  readonly image?: Buffer;
  /** Of a freshly built agent; default: ISOPOD_TEST_INITRAMFS, else the one in dist. */
  readonly initramfsPath?: string;
}

/** A template's image disk is larger than any image that comes in its place. */
const placeholderBytes = 2 ** 40;

/** A real VM under emulation with a busybox image disk (serial `image`) and a scratch disk (serial `scratch`). */
export class TestMachine implements AsyncDisposable {
  readonly directory: string;
  readonly socketPath: string;
  readonly #process: ChildProcess;
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory, process: ChildProcess) {
    this.#directory = directory;
    this.directory = directory.path;
    this.socketPath = join(directory.path, "agent.sock");
    this.#process = process;
  }

  static async boot(options: TestMachineOptions = {}): Promise<TestMachine> {
    const directory = await temporaryDirectory("isopod-guest-test-");
    await makeBusyboxDisk(join(directory.path, "image.erofs"), directory.path);
    await makeScratchDisk(join(directory.path, "scratch.ext4"), options.scratchMiB ?? 64);
    return await TestMachine.#launch(directory, options, "image.erofs", []);
  }

  /** Boots a machine without an image, saves it while its agent waits, and goes on as a fork with the busybox image. */
  static async fork(options: TestMachineOptions = {}): Promise<TestMachine> {
    const directory = await temporaryDirectory("isopod-guest-test-");
    const file = (name: string): string => join(directory.path, name);
    await writeFile(file("placeholder"), placeholderImage());
    await truncate(file("placeholder"), placeholderBytes);
    if (options.image === undefined) await makeBusyboxDisk(file("image.erofs"), directory.path);
    else await writeFile(file("image.erofs"), options.image);
    await truncate(file("image.erofs"), placeholderBytes);
    await makeScratchDisk(file("scratch.ext4"), options.scratchMiB ?? 64);
    const memory = (isShared: boolean): readonly string[] => [
      "-object",
      `memory-backend-file,id=ram,size=${options.memoryMiB ?? 256}M,mem-path=${file("ram")},share=${isShared ? "on" : "off"}`,
    ];
    const template = await TestMachine.#launch(directory, options, "placeholder", memory(true));
    try {
      (await greetGuest({ socketPath: template.socketPath, timeoutMs: 120_000 }))[Symbol.dispose]();
      await using monitor = await Monitor.open(file("qmp.sock"));
      await monitor.execute("stop");
      await monitor.execute("migrate-set-capabilities", ignoreShared);
      await monitor.execute("migrate", { uri: `exec:cat > ${file("state")}` });
      await monitor.until("query-migrate", "completed");
    } finally {
      template.kill();
      await template.ended();
    }
    const fork = await TestMachine.#launch(directory, options, "image.erofs", [...memory(false), "-incoming", "defer"]);
    await using monitor = await Monitor.open(file("qmp.sock"));
    await monitor.execute("migrate-set-capabilities", ignoreShared);
    await monitor.execute("migrate-incoming", { uri: `exec:cat ${file("state")}` });
    await monitor.until("query-status", "paused");
    await monitor.execute("cont");
    return fork;
  }

  static async #launch(
    directory: TemporaryDirectory,
    options: TestMachineOptions,
    image: string,
    extra: readonly string[],
  ): Promise<TestMachine> {
    const file = (name: string): string => join(directory.path, name);
    const artifacts = await guestArtifacts(file("cache"));
    const errors = await open(file("qemu.err"), "w");
    const disk = (id: string, name: string, format: string): readonly string[] => [
      "-drive",
      `file=${file(name)},if=none,id=${id},format=raw${format}`,
      "-device",
      `virtio-blk-device,drive=${id},serial=${id}`,
    ];
    const scsiImage = [
      ["-device", "virtio-scsi-device,id=scsi"],
      ["-drive", `file=${file("image.erofs")},if=none,id=scsi-image,format=raw,readonly=on`],
      ["-device", "scsi-hd,bus=scsi.0,drive=scsi-image,serial=scsi-image"],
    ].flat();
    const isIncoming = extra.includes("-incoming");
    const backend = extra.length > 0 ? ",memory-backend=ram" : "";
    const kernel = [
      ["-kernel", artifacts.kernelPath, "-append", kernelCommandLine("tcg")],
      ["-initrd", options.initramfsPath ?? process.env["ISOPOD_TEST_INITRAMFS"] ?? artifacts.initramfsPath],
    ].flat();
    const child = spawn(
      "qemu-system-x86_64",
      [
        ["-M", `microvm,acpi=off,x-option-roms=off,pit=off,pic=off,rtc=on,isa-serial=on${backend}`],
        ["-accel", "tcg", "-cpu", "max,family=23,model=49"],
        ["-m", String(options.memoryMiB ?? 256), "-smp", String(options.vcpus ?? 1)],
        ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        ["-global", "virtio-mmio.force-legacy=false", "-serial", `file:${file("console")}`],
        isIncoming ? [] : kernel,
        ["-chardev", `socket,id=qmp,path=${file("qmp.sock")},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
        ["-chardev", `socket,id=agent,path=${file("agent.sock")},server=on,wait=off`],
        ["-device", "virtio-serial-device,max_ports=2", "-device", "virtserialport,chardev=agent,name=isopod.agent"],
        ["-netdev", "hubport,hubid=0,id=net", "-device", "virtio-net-device,netdev=net"],
        disk("image", image, ",readonly=on"),
        disk("scratch", "scratch.ext4", ""),
        options.hasScsiImage === true ? scsiImage : [],
        extra,
      ].flat(),
      { stdio: ["ignore", "ignore", errors.fd] },
    );
    await errors.close();
    return new TestMachine(directory, child);
  }

  /** Changes what is on the image disk; what the guest has read of it before it may remember. */
  async putImage(image: Buffer): Promise<void> {
    await using disk = await open(join(this.directory, "image.erofs"), "r+");
    await disk.write(image, 0, image.length, 0);
  }

  async console(): Promise<string> {
    const read = async (name: string): Promise<string> =>
      await readFile(join(this.directory, name), "utf8").catch(() => "");
    return (await read("console")) + (await read("qemu.err"));
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async ended(): Promise<void> {
    if (!this.hasEnded) await once(this.#process, "exit");
  }

  /** Tells QEMU's monitor: `stop` halts the processors, `cont` lets them go on. */
  async command(name: "stop" | "cont"): Promise<void> {
    await using monitor = await Monitor.open(join(this.directory, "qmp.sock"));
    await monitor.execute(name);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.ended();
    await this.#directory[Symbol.asyncDispose]();
  }
}

const ignoreShared = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

export const testConfiguration: GuestConfiguration = {
  hostname: "pod-1",
  entropy: Buffer.alloc(64, 7).toString("base64"),
  epochMicros: 1_800_000_000_000_000,
  network: {
    macAddress: "02:00:00:00:00:2a",
    address: "10.0.0.42",
    gatewayAddress: "169.254.1.1",
    gatewayMacAddress: "02:ff:00:00:00:01",
    mtu: 1450,
  },
  resolvConf: "nameserver 10.0.0.2\n",
  hosts: "127.0.0.1 localhost\n10.0.0.42 pod-1\n",
  scratch: { diskSerial: "scratch" },
  limits: { memoryBytes: 128 * 1024 * 1024, pids: 512 },
};
