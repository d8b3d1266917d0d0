import { randomBytes } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, silentLogger, type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import { connectGuest, guestArtifacts, type GuestClient, type GuestIdentity, kernelCommandLine } from "@isopod/guest";
import { runScript } from "@isopod/guest/testing";
import { createScratchDisks, type ScratchDisks } from "@isopod/volume";
import type { Machine, MachineSpec, Template, TemplateShape, Vmm } from "../contract.ts";
import type { QemuVmmOptions } from "../qemu/qemu-vmm.ts";
import { createQemuVmm } from "../qemu/qemu-vmm.ts";
import { readMachineRecord } from "../qemu/machine-record.ts";
import { makeBusyboxDisk } from "./busybox-disk.ts";

const mebibyte = 1024 * 1024;

/** What machines are forked from in tests: the smallest that is sold. */
export const testShape: TemplateShape = Object.freeze({ vcpus: 1, memoryMiB: 128, scratchBytes: 64 * mebibyte });

/** An instance that was forked and given an identity. */
export interface TestFork {
  readonly spec: MachineSpec;
  readonly machine: Machine;
  readonly client: GuestClient;
}

/**
 * All that forks need, for tests: the guest's kernel and agent, a busybox image, scratch disks, and a network namespace
 * with a tap for each machine. What tests leave running ends with it.
 */
export class ForkHost implements AsyncDisposable {
  readonly path: string;
  readonly scratch: ScratchDisks;
  readonly namespace: string;
  readonly guest: { readonly kernelPath: string; readonly initramfsPath: string };
  readonly #temporary: TemporaryDirectory;
  readonly #vmms: Vmm[] = [];
  readonly #machines = new Set<Machine>();
  readonly #clients = new Set<GuestClient>();
  #count = 0;

  private constructor(temporary: TemporaryDirectory, guest: ForkHost["guest"]) {
    this.#temporary = temporary;
    this.path = temporary.path;
    this.guest = guest;
    this.namespace = `vmmfork-${process.pid}-${randomBytes(3).toString("hex")}`;
    this.scratch = createScratchDisks({ directory: join(this.path, "scratch-templates"), logger: silentLogger });
  }

  static async open(): Promise<ForkHost> {
    await using stack = new AsyncDisposableStack();
    const temporary = stack.use(await temporaryDirectory("isopod-vmm-fork-"));
    const host = new ForkHost(temporary, await guestArtifacts(join(temporary.path, "guest")));
    await makeBusyboxDisk(host.file("image"), temporary.path);
    await mkdir(host.file("machines"));
    await runCommand("ip", ["netns", "add", host.namespace]);
    stack.move();
    return host;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** A monitor of its own on the templates of `cacheDirectory`, as a service that was started anew. */
  async openVmm(options: Partial<QemuVmmOptions> = {}): Promise<Vmm> {
    const vmm = await createQemuVmm({
      cacheDirectory: this.file("cache"),
      ...this.guest,
      commandLine: kernelCommandLine,
      logger: silentLogger,
      accelerator: "tcg",
      ...options,
    });
    this.#vmms.push(vmm);
    return vmm;
  }

  async build(vmm: Vmm, shape = testShape, signal?: AbortSignal): Promise<Template> {
    return await vmm.templates.build(
      shape,
      async (path, userId) => await this.makeScratch(path, userId, shape),
      signal,
    );
  }

  /** Has a zygote made of the template, and returns its process. */
  async keepZygote(vmm: Vmm, template: Template, signal?: AbortSignal): Promise<number> {
    await vmm.templates.keepZygote(template, async (path, userId) => await this.makeScratch(path, userId), signal);
    const record = await readMachineRecord(this.zygoteMachine(template));
    if (record?.process === undefined) throw new Error("there is no zygote");
    return record.process.pid;
  }

  /** The directory of a zygote's machine, of a template in the usual cache directory. */
  zygoteMachine(template: Template): string {
    return this.file(`cache/templates/${template.id}/zygote/machine`);
  }

  async makeScratch(path: string, userId: number, shape = testShape): Promise<{ readonly backingPath: string }> {
    return await this.scratch.create(path, shape.scratchBytes, userId);
  }

  /** A new machine's description, with its directory, disk and tap made. */
  async specOf(name: string, more: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const number = ++this.#count;
    const userId = 1_879_200_000 + (process.pid % 10_000) * 100 + number;
    const directory = this.file(`machines/${name}`);
    const tapName = `tap${number}`;
    await mkdir(directory);
    await runCommand("ip", ["-n", this.namespace, "tuntap", "add", tapName, "mode", "tap", "vnet_hdr"]);
    await runCommand("ip", ["-n", this.namespace, "link", "set", tapName, "up"]);
    const scratch = await this.scratch.create(this.file(`${name}.qcow2`), testShape.scratchBytes, userId);
    const image = this.file("image");
    return {
      id: `fork-${name}-${process.pid}`,
      directory,
      vcpus: testShape.vcpus,
      memoryMiB: testShape.memoryMiB,
      limits: { cpuMilli: 1000, memoryMiB: 512, pids: 64 },
      userId,
      network: {
        namespacePath: `/run/netns/${this.namespace}`,
        tapName,
        macAddress: `02:00:00:00:01:${number.toString(16).padStart(2, "0")}`,
      },
      disks: [
        { type: "parts", serial: "image", parts: [{ path: image, sizeBytes: (await stat(image)).size }] },
        { type: "qcow2", serial: "scratch", ...scratch },
      ],
      ...more,
    };
  }

  /** Forks an instance and gives it its identity; its host name is its id. `podMemoryMiB` is what it was sold. */
  async fork(
    vmm: Vmm,
    template: Template,
    name: string,
    more: Partial<MachineSpec> = {},
    podMemoryMiB = 96,
  ): Promise<TestFork> {
    return await this.start(vmm, template, await this.specOf(name, more), podMemoryMiB);
  }

  /** As {@link fork}, of a description that was changed. */
  async start(vmm: Vmm, template: Template, spec: MachineSpec, podMemoryMiB = 96): Promise<TestFork> {
    const machine = await vmm.fork(spec, template);
    this.#machines.add(machine);
    return await this.#configure(machine, spec, podMemoryMiB);
  }

  /** Forks a snapshot of a fork, and gives it another identity. */
  async restore(vmm: Vmm, snapshot: Template, name: string): Promise<TestFork> {
    const spec = await this.specOf(name);
    const machine = await vmm.fork(spec, snapshot);
    this.#machines.add(machine);
    const client = await connectGuest({ socketPath: machine.agentSocketPath, timeoutMs: 120_000 });
    this.#clients.add(client);
    await client.reidentify(identityOf(spec));
    return { spec, machine, client };
  }

  async #configure(machine: Machine, spec: MachineSpec, podMemoryMiB: number): Promise<TestFork> {
    const client = await connectGuest({ socketPath: machine.agentSocketPath, timeoutMs: 120_000 });
    this.#clients.add(client);
    await client.configure({
      ...identityOf(spec),
      scratch: { diskSerial: "scratch" },
      limits: { memoryBytes: podMemoryMiB * mebibyte, pids: 512 },
    });
    return { spec, machine, client };
  }

  /** Lets go of a fork, as a service that ends; whoever finds it again has to end it. */
  async abandon({ client, machine }: TestFork): Promise<void> {
    this.#machines.delete(machine);
    await client[Symbol.asyncDispose]();
    machine.detach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Last in, first out; all of it, whatever fails.
    await using stack = new AsyncDisposableStack();
    stack.use(this.#temporary);
    stack.defer(async () => void (await runCommand("ip", ["netns", "delete", this.namespace])));
    for (const vmm of this.#vmms) stack.defer(async () => await vmm.close());
    for (const machine of this.#machines) stack.defer(async () => await machine.kill());
    for (const client of this.#clients) stack.use(client);
  }
}

function identityOf(spec: MachineSpec): GuestIdentity {
  return {
    hostname: spec.id,
    entropy: randomBytes(64).toString("base64"),
    epochMicros: Date.now() * 1000,
    network: {
      macAddress: spec.network?.macAddress ?? "",
      address: addressOf(spec),
      gatewayAddress: "169.254.1.1",
      gatewayMacAddress: "02:ff:00:00:00:01",
      mtu: 1450,
    },
    resolvConf: "",
    hosts: "127.0.0.1 localhost\n",
  };
}

/** Whose address a machine has in tests: that of its tap. */
export function addressOf({ network }: MachineSpec): string {
  return `10.0.0.${network?.tapName.slice("tap".length)}`;
}

/** Runs a shell script in a container of its own and returns what it wrote. */
export async function runInFork({ client }: TestFork, script: string): Promise<string> {
  const { stdout, stderr } = await runScript(client, script);
  return `${stdout}${stderr}`.trim();
}
