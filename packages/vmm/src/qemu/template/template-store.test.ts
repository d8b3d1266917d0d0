import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  appendFile,
  copyFile,
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Logger, silentLogger } from "@isopod/base";
import type { Template, Vmm } from "../../contract.ts";
import { ForkHost, runInFork, testShape } from "../../testing/fork-host.ts";
import { cgroupDirectories } from "../cgroup.ts";
import { type MachineRecord, readMachineRecord } from "../machine-record.ts";
import { identifyProcess } from "../process-identity.ts";

const isRoot = process.getuid?.() === 0;

describe("the templates of a service", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  /** Whole, and never opened: each test has a copy. */
  let pristine: string;
  let id: string;
  let copies = 0;

  before(async () => {
    host = await ForkHost.open();
    const vmm = await host.openVmm({ cacheDirectory: host.file("pristine") });
    ({ id } = await host.build(vmm));
    pristine = host.file("pristine/templates");
    await vmm.close();
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  /** A cache directory with the template in it, and the template's own. */
  async function copy(): Promise<{
    readonly cacheDirectory: string;
    readonly templates: string;
    readonly own: string;
  }> {
    const cacheDirectory = host.file(`cache-${++copies}`);
    const templates = join(cacheDirectory, "templates");
    await cp(pristine, templates, { recursive: true });
    return { cacheDirectory, templates, own: join(templates, id) };
  }

  async function assertUsable(vmm: Vmm, template: Template | undefined, name: string): Promise<void> {
    assert.ok(template);
    const fork = await host.fork(vmm, template, name);
    assert.equal(await runInFork(fork, "echo alive"), "alive");
    await fork.client[Symbol.asyncDispose]();
    await fork.machine.kill();
  }

  it("are there for the next service, which builds nothing", async () => {
    const { cacheDirectory } = await copy();
    const vmm = await host.openVmm({ cacheDirectory });
    const listed = await vmm.templates.list();
    assert.deepEqual(
      listed.map((one) => [one.id, one.shape, one.isLoaded]),
      [[id, testShape, false]],
    );
    assert.ok((listed[0]?.sizeBytes ?? 0) > 1024 * 1024);
    const refuse = async (): Promise<never> => await Promise.reject(new Error("a template is built"));
    const template = await vmm.templates.build(testShape, refuse);
    assert.equal(template.isLoaded, true);
    await assertUsable(vmm, template, "kept");
  });

  const flip = async (path: string, at: number): Promise<void> => {
    await using file = await open(path, "r+");
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, at);
  };
  const damages: Readonly<Record<string, (own: string) => Promise<void>>> = {
    "a byte of its memory": async (own) => await flip(join(own, "memory.packed"), 4_000_000),
    "a byte of its devices' state": async (own) => await flip(join(own, "state"), 20_000),
    "a byte of its scratch disk": async (own) => await flip(join(own, "scratch.qcow2"), 70_000),
    "the end of its memory": async (own) => await truncate(join(own, "memory.packed"), 4_000_000),
    "the end of its devices' state": async (own) => await truncate(join(own, "state"), 20_000),
    "all of its scratch disk": async (own) => await rm(join(own, "scratch.qcow2")),
    "a byte after its memory": async (own) => await appendFile(join(own, "memory.packed"), "x"),
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`never use one that lacks or changed ${what}, and remove it`, async () => {
      const { cacheDirectory, own } = await copy();
      await damage(own);
      const warnings: object[] = [];
      const logger: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
      const vmm = await host.openVmm({ cacheDirectory, logger });
      // At once: of those who wait for the same check none gets it.
      const found = await Promise.all([vmm.templates.find(testShape), vmm.templates.find(testShape)]);
      assert.deepEqual(found, [undefined, undefined]);
      assert.equal(existsSync(own), false);
      assert.deepEqual(await vmm.templates.list(), []);
      assert.ok(warnings.length > 0);
    });
  }

  const remains: Readonly<Record<string, (templates: string) => Promise<void>>> = {
    "has no manifest": async (templates) => await rm(join(templates, id, "template.json")),
    "has a manifest that was cut": async (templates) => await truncate(join(templates, id, "template.json"), 60),
    "has the manifest of another version": async (templates) =>
      await writeFile(join(templates, id, "template.json"), JSON.stringify({ version: 99, id })),
    "was not finished": async (templates) => await rename(join(templates, id), join(templates, `${id}.unfinished`)),
    "bears another's name": async (templates) => await rename(join(templates, id), join(templates, "0123456789abcdef")),
  };
  for (const [what, change] of Object.entries(remains)) {
    it(`remove at once what ${what}`, async () => {
      const { cacheDirectory, templates } = await copy();
      await change(templates);
      const vmm = await host.openVmm({ cacheDirectory });
      assert.deepEqual(await readdir(templates), []);
      assert.deepEqual(await vmm.templates.list(), []);
    });
  }

  it("are those of one guest, one command line and one monitor: others' are removed", async () => {
    const initramfsPath = host.file("other-initramfs");
    await copyFile(host.guest.initramfsPath, initramfsPath);
    // Ignored by the kernel, but another agent as far as anyone can tell.
    await appendFile(initramfsPath, Buffer.alloc(512));
    for (const options of [{ initramfsPath }, { commandLine: "console=ttyS0 panic=-1 reboot=t" }]) {
      const { cacheDirectory, templates } = await copy();
      const vmm = await host.openVmm({ cacheDirectory, ...options });
      assert.equal(await vmm.templates.find(testShape), undefined);
      assert.deepEqual(await readdir(templates), []);
    }
  });

  it("are built again, once, for all who ask, after a damage", async () => {
    const { cacheDirectory, own } = await copy();
    await flip(join(own, "memory.packed"), 4_000_000);
    const vmm = await host.openVmm({ cacheDirectory });
    let built = 0;
    const makeScratch = async (path: string, userId: number): Promise<{ readonly backingPath: string }> => {
      built += 1;
      return await host.makeScratch(path, userId);
    };
    const impatient = new AbortController();
    const makers = [
      vmm.templates.build(testShape, makeScratch),
      vmm.templates.build(testShape, makeScratch),
      vmm.templates.build(testShape, makeScratch, impatient.signal),
    ];
    impatient.abort();
    const [first, second, third] = await Promise.allSettled(makers);
    assert.equal(third?.status, "rejected", "whoever gives up does not wait");
    assert.ok(first?.status === "fulfilled" && second?.status === "fulfilled");
    assert.equal(first.value, second.value);
    assert.equal(built, 1);
    assert.deepEqual(await readdir(join(cacheDirectory, "templates")), [id]);
    await assertUsable(vmm, first.value, "built-again");
  });

  it("are built for the second who asks when the first gives up, and a build given up leaves nothing", async () => {
    const cacheDirectory = host.file("given-up");
    const vmm = await host.openVmm({ cacheDirectory });
    const directory = join(cacheDirectory, "templates");
    const [first, second] = [new AbortController(), new AbortController()];
    const given = host.build(vmm, testShape, first.signal);
    given.catch(() => {});
    const before = await machineOf(directory);
    const joined = host.build(vmm, testShape, second.signal);
    joined.catch(() => {});
    first.abort();
    await assert.rejects(given, { name: "AbortError" });
    await assertGone(before);
    const machine = await machineOf(directory);
    second.abort();
    await assert.rejects(joined, { name: "AbortError" });
    await assertGone(machine);
    assert.deepEqual(await readdir(directory), []);
  });

  it("leave neither process nor files when a service is killed while it builds one", async () => {
    const cacheDirectory = host.file("killed");
    const directory = join(cacheDirectory, "templates");
    await mkdir(cacheDirectory);
    const program = fileURLToPath(new URL("../../testing/build-template.ts", import.meta.url));
    const options = JSON.stringify({ cacheDirectory, ...host.guest });
    const child = spawn(process.execPath, [program, options, host.file("scratch-templates")], { stdio: "inherit" });
    const ended = once(child, "exit");
    const record = await machineOf(directory);
    child.kill("SIGKILL");
    await ended;
    assert.ok(await identifyProcess(record.process?.pid ?? 0), "the monitor outlives its service");
    const vmm = await host.openVmm({ cacheDirectory });
    await assertGone(record);
    assert.deepEqual(await readdir(directory), []);
    assert.deepEqual(await vmm.templates.list(), []);
  });

  it("are not used on a file system that is not the one they were made on", async () => {
    // Last: what all copies have below them is made anew.
    const { cacheDirectory, own } = await copy();
    const { scratchBacking } = JSON.parse(await readFile(join(own, "template.json"), "utf8"));
    const [{ path }] = scratchBacking;
    await rm(path);
    const vmm = await host.openVmm({ cacheDirectory });
    assert.equal(await vmm.templates.find(testShape), undefined);
    const missing = await copy();
    await host.makeScratch(host.file("any.qcow2"), 1);
    assert.equal(existsSync(path), true);
    const again = await host.openVmm({ cacheDirectory: missing.cacheDirectory });
    assert.equal(await again.templates.find(testShape), undefined);
    await assertUsable(again, await host.build(again), "another-file-system");
  });
});

/** The record of the machine that a template is being made with, once its monitor may run. */
async function machineOf(templates: string): Promise<MachineRecord> {
  for (let attempt = 0; attempt < 2400; attempt++) {
    for (const name of await readdir(templates).catch(() => [])) {
      const record = await readMachineRecord(join(templates, name, "machine"));
      if (record?.process !== undefined) return record;
    }
    await delay(25);
  }
  assert.fail("no machine was started within a minute");
}

async function assertGone(record: MachineRecord): Promise<void> {
  assert.equal(await identifyProcess(record.process?.pid ?? 0), undefined);
  for (const directory of cgroupDirectories(record.cgroups)) assert.equal(existsSync(directory), false, directory);
}
