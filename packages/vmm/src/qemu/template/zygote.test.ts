import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { runCommand, systemClock } from "@isopod/base";
import { connectGuest } from "@isopod/guest";
import type { MachineDisk, MachineSpec, Template, Vmm } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import { addressOf, ForkHost, runInFork, type TestFork, testShape } from "../../testing/fork-host.ts";
import {
  assertHostTime,
  assertOwnBootIds,
  assertOwnDisks,
  assertOwnNames,
  assertOwnRandomness,
  runInEach,
} from "../../testing/own-identity.ts";
import { childrenOf, parentOf, statusOf, threadsOf } from "../../testing/process-look.ts";
import { cgroupDirectories, findCgroupRoots, machineCgroup } from "../cgroup.ts";
import { readMachineRecord } from "../machine-record.ts";
import { descriptorsOf, identifyProcess } from "../process-identity.ts";

const isRoot = process.getuid?.() === 0;

describe("clones of one zygote", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  let template: Template;
  let zygote: number;
  let forks: readonly [TestFork, TestFork];

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
    template = await host.build(vmm);
    zygote = await host.keepZygote(vmm, template);
    forks = await Promise.all([host.fork(vmm, template, "first"), host.fork(vmm, template, "second")]);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  async function assertIsClone({ machine }: Pick<TestFork, "machine">, of = zygote): Promise<void> {
    assert.equal(await parentOf(machine.pid), of);
    // Lists of processes show which machine it is.
    const [, option, name] = (await readFile(`/proc/${machine.pid}/cmdline`, "latin1")).split("\0");
    assert.deepEqual([option, name], ["-name", `isopod-${machine.id}`]);
  }

  async function cgroupsOf(spec: MachineSpec): Promise<readonly string[]> {
    return cgroupDirectories(machineCgroup(await findCgroupRoots(), spec.id));
  }

  async function assertNothingLeft(spec: MachineSpec, pid?: number): Promise<void> {
    if (pid !== undefined) assert.equal(await identifyProcess(pid), undefined);
    for (const directory of await cgroupsOf(spec)) assert.equal(existsSync(directory), false, directory);
    assert.deepEqual(await readdir(spec.directory), []);
    assert.equal(existsSync(`${scratchOf(spec).path}.clone`), false);
  }

  async function kill(fork: TestFork): Promise<void> {
    await fork.machine.kill();
    await assertNothingLeft(fork.spec, fork.machine.pid);
  }

  it("are made by the zygote, which stays as it was", async () => {
    assert.equal(template.hasZygote, true);
    for (const fork of forks) await assertIsClone(fork);
    assert.deepEqual((await childrenOf(zygote)).length, 2);
  });

  it("share no random stream, from their first draw on", async () => {
    await assertOwnRandomness(forks);
  });

  it("have a boot id of their own, the same for all their containers", async () => {
    await assertOwnBootIds(forks);
  });

  it("have their own host name, hardware address and address", async () => {
    await assertOwnNames(forks);
  });

  it("have the host's time, and a monotonic clock at the host's pace", async () => {
    await assertHostTime(forks);
  });

  it("write to disks of their own, which begin with a clean file system", async () => {
    await assertOwnDisks(forks);
    await runInEach(forks, "yes written by $(hostname) | head -c 4000000 >/tmp/file; sync");
    const later = await host.fork(vmm, template, "later");
    await assertIsClone(later);
    const zygoteDisk = host.file(`cache/templates/${template.id}/zygote/scratch.qcow2`);
    const paths = [...[...forks, later].map(({ spec }) => scratchOf(spec).path), zygoteDisk];
    const contents = await Promise.all(paths.map(async (path) => await readFile(path, "latin1")));
    for (const [index, { spec }] of forks.entries()) {
      const holders = contents.map((content) => content.includes(`written by ${spec.id}`));
      assert.deepEqual(
        holders,
        paths.map((_, at) => at === index),
      );
    }
    for (const { spec, machine } of [...forks, later]) {
      const { ino } = await stat(scratchOf(spec).path);
      const writable = await writableFilesOf(machine.pid);
      assert.ok(writable.length > 1 && writable.every((one) => one === ino), `${writable} of ${ino}`);
    }
    await kill(later);
  });

  it("run their own images, of one part or of several", async () => {
    await writeFile(host.file("tree/etc/which"), "the second image");
    await runCommand("mkfs.erofs", ["-T0", host.file("image2"), host.file("tree")]);
    const content = await readFile(host.file("image2"));
    const parts = [];
    for (const [index, [from, to]] of [
      [0, 65_536],
      [65_536, 66_048],
      [66_048, content.length],
    ].entries()) {
      const part = content.subarray(from, to);
      await writeFile(host.file(`part${index}`), part);
      parts.push({ path: host.file(`part${index}`), sizeBytes: part.length });
    }
    const spec = await host.specOf("several-parts");
    const fork = await host.start(vmm, template, {
      ...spec,
      disks: [{ type: "parts", serial: "image", parts }, scratchOf(spec)],
    });
    await assertIsClone(fork);
    assert.equal(await runInFork(fork, "cat /etc/which"), "the second image");
    assert.equal(await runInFork(fork, "md5sum </bin/busybox"), await runInFork(forks[0], "md5sum </bin/busybox"));
    assert.equal(
      await runInFork(forks[0], "cat /etc/which 2>&1 || true"),
      "cat: can't open '/etc/which': No such file or directory",
    );
    await kill(fork);
  });

  it("speak to the network both ways through their own tap", async () => {
    for (const fork of forks) {
      const { server, port } = await serveInNamespace(fork);
      const received = await runInFork(
        fork,
        `yes from $(hostname) | head -c 400000 | nc 169.254.1.1 ${port} | md5sum | cut -d ' ' -f 1`,
      );
      const told = await server;
      const sent = `from ${fork.spec.id}\n`.repeat(400_000).slice(0, 400_000);
      assert.equal(received, await md5Of("to the guest\n".repeat(40_000)));
      assert.equal(told, await md5Of(sent));
    }
  });

  it("are in cgroups of their own, and held to their share when it is asked for", async () => {
    const limits = { cpuMilli: 250, memoryMiB: 512, pids: 64 };
    const fork = await host.fork(vmm, template, "limited", { limits });
    const cgroups = machineCgroup(await findCgroupRoots(), fork.spec.id);
    const membersOf = async (directory: string): Promise<string> =>
      (await readFile(`${directory}/cgroup.procs`, "utf8")).trim();
    for (const directory of cgroupDirectories(cgroups)) {
      await until(async () => (await membersOf(directory)) === String(fork.machine.pid));
    }
    const quota = async (): Promise<string> =>
      (await readFile(`${cgroups.cpu}/${cgroups.version === 2 ? "cpu.max" : "cpu.cfs_quota_us"}`, "utf8")).trim();
    const before = await quota();
    await fork.machine.limitCpu();
    assert.notEqual(await quota(), before);
    await kill(fork);
  });

  it("that outgrow their memory are ended, and nobody else is", async () => {
    const limits = { cpuMilli: 1000, memoryMiB: 48, pids: 64 };
    const fork = await host.fork(vmm, template, "outgrows", { limits });
    void runInFork(fork, "head -c 80000000 /dev/zero >/dev/shm/fill; tail /dev/zero").catch(() => {});
    const exit = await fork.machine.exited;
    assert.equal(exit.isExpected, false);
    assert.match(exit.stderrTail, /outgrew the memory bound/);
    await assertNothingLeft(fork.spec, fork.machine.pid);
    assert.deepEqual(await runInEach(forks, "echo alive"), ["alive", "alive"]);
    const next = await host.fork(vmm, template, "after-outgrown");
    await assertIsClone(next);
    await kill(next);
  });

  it("may have bounds on their disks that the zygote has not", async () => {
    const limits = { cpuMilli: 1000, memoryMiB: 512, pids: 64, io: { writeBytesPerSecond: 1024 * 1024 } };
    const fork = await host.fork(vmm, template, "throttled", { limits });
    await assertIsClone(fork);
    const startedMs = performance.now();
    assert.equal(await runInFork(fork, "head -c 2500000 /dev/zero >/file; sync; wc -c </file"), "2500000");
    assert.ok(performance.now() - startedMs > 1500);
    await kill(fork);
  });

  it("tell how they ended, with the last words on their console and nothing of others'", async () => {
    const [fork, other] = await Promise.all([host.fork(vmm, template, "ends"), host.fork(vmm, template, "is-killed")]);
    await fork.client.powerOff();
    const exit = await fork.machine.exited;
    assert.equal(exit.isExpected, true);
    assert.match(exit.consoleTail, /\S/);
    await assertNothingLeft(fork.spec, fork.machine.pid);
    await kill(other);
    assert.equal((await other.machine.exited).isExpected, true);
    const lost = await host.fork(vmm, template, "dies");
    process.kill(lost.machine.pid, "SIGKILL");
    const { isExpected, stderrTail } = await lost.machine.exited;
    assert.deepEqual([isExpected, stderrTail], [false, ""]);
    await assertNothingLeft(lost.spec, lost.machine.pid);
  });

  it("stand still and go on, and have their state saved and forked", async () => {
    const fork = await host.fork(vmm, template, "saved");
    await assertIsClone(fork);
    const writing = runInFork(fork, "echo kept >/tmp/file; sync; sleep 2; cat /tmp/file; hostname");
    await fork.machine.pause();
    assert.equal(fork.machine.isPaused, true);
    await fork.machine.resume();
    await fork.machine.snapshot(host.file("snapshot"));
    assert.equal(await writing, `kept\n${fork.spec.id}`);
    const saved = await vmm.openSnapshot(host.file("snapshot"));
    assert.ok(saved);
    const restored = await host.restore(vmm, saved, "restored");
    assert.equal(await runInFork(restored, "hostname"), restored.spec.id);
    await assertOwnRandomness([restored, fork]);
    await saved.unload();
    await kill(fork);
    await kill(restored);
  });

  it("are refused where their description is wrong, as forks are, and the zygote stays", async () => {
    const missingTap = await host.specOf("missing-tap");
    const { network } = missingTap;
    assert.ok(network);
    const missingImage = await host.specOf("missing-image");
    const image = { type: "parts", serial: "image", parts: [{ path: host.file("nowhere"), sizeBytes: 4096 }] } as const;
    const wrong: readonly (readonly [string, MachineSpec])[] = [
      ["TapUnavailable", { ...missingTap, network: { ...network, tapName: "nowhere" } }],
      ["DiskUnavailable", { ...missingImage, disks: [image, scratchOf(missingImage)] }],
    ];
    for (const [code, spec] of wrong) {
      const error: unknown = await vmm.fork(spec, template).catch((one: unknown) => one);
      assert.ok(error instanceof VmmError && error.code === code, String(error));
      await assertNothingLeft(spec);
    }
    assert.equal(template.hasZygote, true);
    assert.equal((await childrenOf(zygote)).length, 2);
  });

  it("may have further disks, plugged in before the guest goes on", async () => {
    const spec = await host.specOf("three-disks");
    const data = host.file("data.qcow2");
    await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", data, "64M"]);
    await chown(data, spec.userId, spec.userId);
    const third: MachineDisk = { type: "qcow2", serial: "data", path: data, sizeBytes: 64 * 1024 * 1024 };
    const fork = await host.start(vmm, template, { ...spec, disks: [...spec.disks, third] });
    assert.ok((await childrenOf(zygote)).includes(fork.machine.pid));
    assert.equal(await runInFork(fork, "echo alive"), "alive");
    const { ino } = await stat(data);
    assert.ok((await writableFilesOf(fork.machine.pid)).includes(ino));
    assert.equal(template.hasZygote, true);
    await kill(fork);
  });

  it("that are given up while they are made leave nothing, also when the zygote answers later", async () => {
    const spec = await host.specOf("given-up");
    const controller = new AbortController();
    process.kill(zygote, "SIGSTOP");
    try {
      const forking = vmm.fork(spec, template, controller.signal);
      forking.catch(() => {});
      await until(async () => await isRequested(spec));
      controller.abort();
      await assert.rejects(forking, { name: "AbortError" });
      await assertNothingLeft(spec);
    } finally {
      process.kill(zygote, "SIGCONT");
    }
    // It serves requests in their order: with this one, the other has been served.
    const next = await host.fork(vmm, template, "after-given-up");
    await assertIsClone(next);
    await kill(next);
    await until(async () => (await childrenOf(zygote)).length === 2);
    await assertNothingLeft(spec);
  });

  it("leave nothing behind, in the zygote, in the service, or on the host, however many there are", async () => {
    const specs = await Promise.all(Array.from({ length: 8 }, async (_, index) => await host.specOf(`many-${index}`)));
    const cycle = async (spec: MachineSpec): Promise<void> => {
      const machine = await vmm.fork(spec, template);
      await assertIsClone({ machine });
      await machine.kill();
      await assertNothingLeft(spec, machine.pid);
    };
    const [one] = specs;
    assert.ok(one);
    await cycle(one);
    const before = [[...(await descriptorsOf(zygote))], (await threadsOf(zygote)).length];
    const ownBefore = (await descriptorsOf(process.pid)).size;
    for (let count = 0; count < 30; count++) await cycle(one);
    await Promise.all(specs.map(cycle));
    assert.deepEqual([[...(await descriptorsOf(zygote))], (await threadsOf(zygote)).length], before);
    assert.equal((await childrenOf(zygote)).length, 2);
    await until(async () => (await descriptorsOf(process.pid)).size <= ownBefore + 2);
    for (const child of await childrenOf(process.pid)) {
      assert.doesNotMatch((await statusOf(child))?.get("State") ?? "", /Z/);
    }
    assert.deepEqual(await runInEach(forks, "echo alive"), ["alive", "alive"]);
  });

  it("live on when the zygote is killed; the next is forked from the template", async () => {
    const later = await host.fork(vmm, template, "outlives");
    process.kill(zygote, "SIGKILL");
    const forking = host.fork(vmm, template, "from-template");
    while (template.hasZygote) await setImmediate();
    // While the last one is cleared away.
    const making = host.keepZygote(vmm, template);
    const fork = await forking;
    assert.equal(await parentOf(fork.machine.pid), process.pid);
    assert.deepEqual(await runInEach([fork, later, ...forks], "echo alive"), ["alive", "alive", "alive", "alive"]);
    await kill(later);
    await kill(fork);
    zygote = await making;
    const next = await host.fork(vmm, template, "of-the-next");
    await assertIsClone(next);
    await kill(next);
  });

  it("are found again by the next service, which ends the zygote of the last", async () => {
    const fork = await host.fork(vmm, template, "orphan");
    await assertIsClone(fork);
    await host.abandon(fork);
    // As if the service had been killed before its disk had its name.
    const { path } = scratchOf(fork.spec);
    const { ino } = await stat(path);
    await runCommand("mv", [path, `${path}.clone`]);
    await writeFile(path, "");
    const later = await host.openVmm({ cloneTimeoutMs: 1500 });
    assert.equal(await identifyProcess(zygote), undefined);
    const found = await later.find(fork.spec.directory);
    assert.equal(found?.pid, fork.machine.pid);
    assert.equal((await stat(path)).ino, ino);
    const client = await connectGuest({ socketPath: found?.agentSocketPath ?? "", timeoutMs: 60_000 });
    assert.equal(await runInFork({ ...fork, client }, "echo alive"), "alive");
    await client[Symbol.asyncDispose]();
    await found?.kill();
    await assertNothingLeft(fork.spec, fork.machine.pid);
    assert.deepEqual(await runInEach(forks, "echo alive"), ["alive", "alive"]);

    const again = await later.templates.find(testShape);
    assert.ok(again);
    const second = await host.keepZygote(later, again);
    process.kill(second, "SIGSTOP");
    const forked = await host.fork(later, again, "in-time");
    assert.equal(await parentOf(forked.machine.pid), process.pid);
    assert.equal(again.hasZygote, false);
    assert.equal(existsSync(host.zygoteMachine(again)), false);
    assert.equal(await identifyProcess(second), undefined);
    assert.equal(await runInFork(forked, "echo alive"), "alive");
    await kill(forked);
  });

  it("and their zygote are gone, or found, after a service is killed, whatever it was doing", async () => {
    const specs = [await host.specOf("of-killed"), await host.specOf("half-made")];
    const program = new URL("../../testing/zygote-service.ts", import.meta.url).pathname;
    const options = JSON.stringify({ cacheDirectory: host.file("cache"), ...host.guest });
    const child = spawn(process.execPath, [program, options, host.file("scratch-templates"), JSON.stringify(specs)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = once(child, "exit");
    const [line] = await once(child.stdout, "data");
    const [zygotePid, machinePid] = String(line).split(" ").map(Number);
    const [whole, half] = specs;
    assert.ok(zygotePid !== undefined && machinePid !== undefined && whole !== undefined && half !== undefined);
    assert.equal(await parentOf(machinePid), zygotePid);
    process.kill(zygotePid, "SIGSTOP");
    child.stdin.write("go\n");
    await until(async () => await isRequested(half));
    child.kill("SIGKILL");
    await ended;
    process.kill(zygotePid, "SIGCONT");
    await until(async () => (await childrenOf(zygotePid)).length <= 1);
    const next = await host.openVmm();
    assert.equal(await identifyProcess(zygotePid), undefined);
    assert.equal(await next.find(half.directory), undefined);
    await assertNothingLeft(half);
    const machine = await next.find(whole.directory);
    assert.equal(machine?.pid, machinePid);
    await machine?.kill();
    await assertNothingLeft(whole, machinePid);
  });

  it("leave a zygote that could not be removed to the next who tries, or makes another", async () => {
    const next = await host.openVmm();
    const found = await next.templates.find(testShape);
    assert.ok(found);
    await host.keepZygote(next, found);
    const record = await readMachineRecord(host.zygoteMachine(found));
    const inside = join(record?.cgroups.cpu ?? "", "inside");
    await mkdir(inside);
    try {
      await assert.rejects(next.templates.dropZygote(found), { code: "EBUSY" });
      assert.equal(found.hasZygote, false);
      await assert.rejects(host.keepZygote(next, found), { code: "EBUSY" });
      assert.ok((await readMachineRecord(host.zygoteMachine(found))) !== undefined);
    } finally {
      await rmdir(inside);
    }
    await host.keepZygote(next, found);
    assert.equal(found.hasZygote, true);
    await next.templates.dropZygote(found);
    assert.equal(existsSync(record?.cgroups.cpu ?? ""), false);
    assert.equal(existsSync(dirname(host.zygoteMachine(found))), false);
  });

  it("come of none that was given up while it rehearsed, which leaves nothing", async () => {
    const next = await host.openVmm();
    const found = await next.templates.find(testShape);
    assert.ok(found);
    const controller = new AbortController();
    const making = host.keepZygote(next, found, controller.signal);
    making.catch(() => {});
    const directory = host.zygoteMachine(found);
    await until(async () => (await readMachineRecord(directory))?.process !== undefined);
    const { process: monitor } = (await readMachineRecord(directory)) ?? {};
    controller.abort();
    await assert.rejects(making, { name: "AbortError" });
    assert.equal(found.hasZygote, false);
    assert.equal(existsSync(dirname(directory)), false);
    assert.equal(await identifyProcess(monitor?.pid ?? 0), undefined);
    const fork = await host.fork(next, found, "of-none");
    assert.equal(await parentOf(fork.machine.pid), process.pid);
    await kill(fork);
  });

  /** Serves one connection in the fork's network, and tells what came. */
  async function serveInNamespace({
    spec,
  }: TestFork): Promise<{ readonly server: Promise<string>; readonly port: number }> {
    const tap = spec.network?.tapName ?? "";
    const ip = async (...args: string[]): Promise<unknown> => await runCommand("ip", ["-n", host.namespace, ...args]);
    await ip("link", "set", tap, "address", "02:ff:00:00:00:01");
    await ip("address", "replace", "169.254.1.1/32", "dev", tap);
    await ip("route", "replace", addressOf(spec), "dev", tap, "src", "169.254.1.1");
    await ip("neighbour", "replace", addressOf(spec), "lladdr", spec.network?.macAddress ?? "", "dev", tap);
    const child = spawn("ip", ["netns", "exec", host.namespace, "python3", "-c", serverProgram], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "exit");
    const [first] = await once(child.stdout, "data");
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    return { server: ended.then(() => said.trim()), port: Number(first) };
  }
});

/** Sends and receives at once, and says the port, then the digest of what it received. */
const serverProgram = `
import hashlib, socket, threading
listener = socket.create_server(("169.254.1.1", 0))
print(listener.getsockname()[1], flush=True)
listener.settimeout(120)
peer, _ = listener.accept()
peer.settimeout(120)
sender = threading.Thread(target=lambda: peer.sendall(b"to the guest\\n" * 40000))
sender.start()
digest, left = hashlib.md5(), 400000
while left > 0:
    data = peer.recv(left)
    if not data: break
    digest.update(data)
    left -= len(data)
sender.join()
peer.close()
print(digest.hexdigest(), flush=True)
`;

async function md5Of(text: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  return createHash("md5").update(text).digest("hex");
}

function scratchOf({ disks }: MachineSpec): MachineDisk & { readonly type: "qcow2" } {
  const [, scratch] = disks;
  assert.ok(scratch?.type === "qcow2");
  return scratch;
}

/** Inodes of the files below the temporary directory that a process may write to. */
async function writableFilesOf(pid: number): Promise<readonly number[]> {
  const inodes: number[] = [];
  for (const [number, target] of await descriptorsOf(pid)) {
    const flags = /^flags:\s+(\d+)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${number}`, "utf8"))?.[1] ?? "0";
    if (!target.includes("qcow2") || (Number.parseInt(flags, 8) & 3) === 0) continue;
    inodes.push((await stat(`/proc/${pid}/fd/${number}`)).ino);
  }
  return inodes;
}

/** A launcher has made what a clone is to have; what it does next is ask for it. */
async function isRequested(spec: MachineSpec): Promise<boolean> {
  return existsSync(`${spec.directory}/agent.sock`);
}

async function until(is: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (await is()) return;
    await systemClock.sleep(10);
  }
  assert.fail("it did not come to that");
}
