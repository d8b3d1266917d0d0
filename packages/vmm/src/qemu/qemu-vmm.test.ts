import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type Clock,
  type Logger,
  runCommand,
  silentLogger,
  systemClock,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@isopod/base";
import type { Machine, MachineSpec, Vmm } from "../contract.ts";
import { VmmError } from "../errors.ts";
import { type GuestFiles, GuestShell, shellGuest } from "../testing/shell-guest.ts";
import { cgroupDirectories, findCgroupRoots, machineCgroup } from "./cgroup.ts";
import { machineFiles } from "./machine-record.ts";
import { identifyProcess } from "./process-identity.ts";
import { createQemuVmm } from "./qemu-vmm.ts";
import { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-codec.ts";

const isRoot = process.getuid?.() === 0;
const suffix = `${process.pid}`;
let temporary: TemporaryDirectory;
let guest: GuestFiles;
let vmm: Vmm;
const directories: string[] = [];

/** A new machine's description, with its directory made. */
async function specOf(name: string, more: Partial<MachineSpec> = {}): Promise<MachineSpec> {
  const directory = join(temporary.path, name);
  await mkdir(directory);
  directories.push(directory);
  return {
    id: `test-${name}-${suffix}`,
    directory,
    vcpus: 1,
    memoryMiB: 128,
    limits: { cpuMilli: 500, memoryMiB: 512, pids: 64 },
    userId: 1_879_000_000 + (process.pid % 10_000),
    disks: [],
    ...more,
  };
}

async function cgroupsOf(id: string): Promise<readonly string[]> {
  return cgroupDirectories(machineCgroup(await findCgroupRoots(), id));
}

/** Nothing of a machine is left: no process, no cgroup, no socket, no mount. */
async function assertNothingLeft(spec: MachineSpec, pid: number): Promise<void> {
  // A machine started elsewhere may wait for init to reap it; it runs no more.
  assert.equal(await identifyProcess(pid), undefined, `process ${pid} still runs`);
  for (const directory of await cgroupsOf(spec.id)) assert.equal(existsSync(directory), false, `${directory} is left`);
  assert.deepEqual(await readdir(spec.directory), []);
  assert.doesNotMatch(await readFile("/proc/self/mounts", "utf8"), new RegExp(spec.directory));
}

async function failureOf(promise: Promise<unknown>): Promise<VmmError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof VmmError, String(error));
    return error;
  }
  assert.fail("it did not fail");
}

describe("machines", { skip: isRoot ? false : "needs root" }, () => {
  before(async () => {
    temporary = await temporaryDirectory("isopod-vmm-test-");
    guest = await shellGuest(temporary.path);
    const cacheDirectory = join(temporary.path, "cache");
    vmm = await createQemuVmm({ cacheDirectory, ...guest, logger: silentLogger, accelerator: "tcg" });
  });
  after(async () => {
    // What a failed test left running.
    for (const directory of directories) await (await vmm.find(directory))?.kill();
    await temporary[Symbol.asyncDispose]();
  });

  describe("a machine with disks and a network", () => {
    const namespace = `vmmtest-${suffix}`;
    let spec: MachineSpec;
    let machine: Machine;
    let shell: GuestShell;
    const ip = async (...args: readonly string[]) => await runCommand("ip", args);
    const status = async (field: string) =>
      new RegExp(`^${field}:[ \\t]*(.*)$`, "m")
        .exec(await readFile(`/proc/${machine.pid}/status`, "utf8"))?.[1]
        ?.trim();

    before(async () => {
      const file = (name: string) => join(temporary.path, name);
      await writeFile(file("part1"), Buffer.alloc(4096, "a"));
      await writeFile(file("part2"), Buffer.alloc(8192, "b"));
      await writeFile(file("part3"), Buffer.alloc(512, "c"));
      await writeFile(file("base"), Buffer.alloc(1024 * 1024, "z"));
      await writeFile(file("single"), Buffer.alloc(4096, "s"));
      await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", file("scratch"), "4M"]);
      await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", file("data"), "2M"]);
      await ip("netns", "add", namespace);
      await ip("-n", namespace, "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr");
      await ip("-n", namespace, "addr", "add", "192.0.2.1/24", "dev", "tap0");
      await ip("-n", namespace, "link", "set", "tap0", "up");
      spec = await specOf("full", {
        vcpus: 2,
        network: { namespacePath: `/run/netns/${namespace}`, tapName: "tap0", macAddress: "02:00:00:00:00:05" },
        disks: [
          {
            type: "parts",
            serial: "image",
            parts: [
              { path: file("part1"), sizeBytes: 4096 },
              { path: file("part2"), sizeBytes: 8192 },
              { path: file("part3"), sizeBytes: 512 },
            ],
          },
          { type: "qcow2", serial: "scratch", path: file("scratch"), backingPath: file("base"), sizeBytes: 1 << 26 },
          { type: "qcow2", serial: "data-0123456789abcde", path: file("data"), sizeBytes: 1 << 26 },
          { type: "parts", serial: "single", parts: [{ path: file("single"), sizeBytes: 4096 }] },
        ],
      });
      machine = await vmm.boot(spec);
      shell = await GuestShell.connect(machine.agentSocketPath);
    });
    after(async () => {
      shell?.[Symbol.dispose]();
      await machine?.kill();
      await ip("netns", "delete", namespace);
    });

    it("has the CPUs and the memory asked for", async () => {
      assert.equal(await shell.run("nproc"), "2");
      const totalKiB = Number(/MemTotal:\s+(\d+)/.exec(await shell.run("cat /proc/meminfo"))?.[1]);
      assert.ok(totalKiB > 100 * 1024 && totalKiB < 128 * 1024, `${totalKiB} KiB`);
    });

    it("shows virtio disks under their serial numbers", async () => {
      const answer = await shell.run("for d in /sys/block/vd?; do echo ${d##*/} $(cat $d/serial); done");
      const names = new Map(answer.split("\n").map((line) => [line.split(" ")[1], line.split(" ")[0]] as const));
      assert.deepEqual([...names.keys()].toSorted(), ["image", "scratch"]);
      // The kernel's names follow its order of probing, which nobody may rely on.
      await shell.run(`image=${names.get("image")}; scratch=${names.get("scratch")}`);
    });

    it("shows further disks on SCSI under their serial numbers", async () => {
      const serials = await shell.run("for d in /sys/block/sd?; do tail -c +5 $d/device/vpd_pg80; echo; done");
      assert.equal(serials, "data-0123456789abcde\nsingle");
    });

    it("joins the parts of an image into one read-only disk", async () => {
      assert.equal(await shell.run("cat /sys/block/$image/size; cat /sys/block/$image/ro"), "25\n1");
      assert.equal(
        await shell.run("cat /dev/$image | tr -d '\\n' | fold -w 1 | uniq -c | tr -s ' '"),
        " 4096 a\n 8192 b\n 512 c".trim(),
      );
    });

    it("shows a disk of one part at its size", async () => {
      assert.equal(await shell.run("cat /sys/block/sdb/size; head -c 3 /dev/sdb"), "8\nsss");
    });

    it("reads the backing file through a writable disk and writes beside it", async () => {
      assert.equal(await shell.run("cat /sys/block/$scratch/size; head -c 3 /dev/$scratch"), "8192\nzzz");
      await shell.run("echo new >/dev/$scratch; sync; echo 3 >/proc/sys/vm/drop_caches");
      assert.equal(await shell.run("head -c 5 /dev/$scratch"), "new\nz");
      assert.equal((await readFile(join(temporary.path, "base"))).subarray(0, 3).toString(), "zzz");
    });

    it("passes frames between guest and tap", async () => {
      assert.match(await shell.run("cat /sys/class/net/eth0/address"), /02:00:00:00:00:05/);
      await shell.run("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up");
      const { stdout } = await ip("netns", "exec", namespace, "busybox", "ping", "-c", "3", "-W", "10", "192.0.2.2");
      assert.match(stdout, / 0% packet loss/);
    });

    it("runs as its own user without any privilege", async () => {
      const user = String(spec.userId);
      assert.equal(await status("Uid"), [user, user, user, user].join("\t"));
      assert.equal(await status("Gid"), [user, user, user, user].join("\t"));
      assert.equal(await status("Groups"), "");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
        assert.equal(await status(set), "0000000000000000", set);
      }
      assert.equal(await status("NoNewPrivs"), "1");
      assert.equal(await status("Seccomp"), "2");
      assert.match(await readFile(`/proc/${machine.pid}/limits`, "utf8"), /Max core file size\s+0\s+0/);
    });

    it("runs in namespaces of its own, and none of them is the tap's", async () => {
      for (const name of ["net", "mnt", "ipc", "uts"]) {
        assert.notEqual(
          await readlink(`/proc/${machine.pid}/ns/${name}`),
          await readlink(`/proc/self/ns/${name}`),
          name,
        );
      }
      const interfaces = (await readFile(`/proc/${machine.pid}/net/dev`, "utf8")).trim().split("\n").slice(2);
      assert.deepEqual(
        interfaces.map((line) => line.trim().split(":")[0]),
        ["lo"],
      );
    });

    it("sees the system's programs, four files and nothing of the host or of other machines", async () => {
      const root = `/proc/${machine.pid}/root`;
      assert.deepEqual((await readdir(root)).toSorted(), [
        "dev",
        "etc",
        "fd",
        "initramfs",
        "kernel",
        "lib",
        "lib64",
        "usr",
      ]);
      assert.deepEqual((await readdir(`${root}/dev`)).toSorted(), ["null", "urandom", "zero"]);
      assert.deepEqual(await readdir(`${root}/etc`), ["ld.so.cache"]);
      const mounts = (await readFile(`/proc/${machine.pid}/mounts`, "utf8")).trim().split("\n");
      assert.deepEqual(
        mounts.filter((line) => !/ ro,/.test(line)),
        [],
        "a mount is writable",
      );
      const targets = mounts.map((line) => line.split(" ")[1]).toSorted();
      assert.deepEqual(targets, ["/", "/etc/ld.so.cache", "/fd", "/initramfs", "/kernel", "/usr"]);
      assert.equal(existsSync(`${root}${temporary.path}`), false);
      assert.equal(existsSync(`${root}/proc`), false);
    });

    it("holds no descriptor beyond what it was given", async () => {
      const links = await Promise.all(
        (await readdir(`/proc/${machine.pid}/fd`)).map((fd) => readlink(`/proc/${machine.pid}/fd/${fd}`)),
      );
      const files = links.filter(
        (link) => link.startsWith("/") && !link.startsWith("/dev/") && !link.startsWith("/memfd:"),
      );
      // The tap's device, as the launcher's own mount namespace, which is gone, named it.
      const tap = "/net/tun";
      const allowed = ["part1", "part2", "part3", "base", "scratch", "data", "single"].map((name) =>
        join(temporary.path, name),
      );
      assert.deepEqual(
        [...new Set(files)].filter((file) => file !== tap && !allowed.includes(file)),
        [],
      );
    });

    it("is bounded by its cgroup, in CPU by its vCPUs and one more until its own quota is asked for", async () => {
      const { version, memory, pids, cpu } = machineCgroup(await findCgroupRoots(), spec.id);
      const read = async (directory: string, file: string) => (await readFile(join(directory, file), "utf8")).trim();
      assert.match(await read(pids, "cgroup.procs"), new RegExp(`^${machine.pid}$`, "m"));
      assert.equal(await read(pids, "pids.max"), "64");
      const memoryFile = version === 2 ? "memory.max" : "memory.limit_in_bytes";
      assert.equal(await read(memory, memoryFile), String(512 * 1024 * 1024));
      const quotaFile = version === 2 ? "cpu.max" : "cpu.cfs_quota_us";
      const throttled = async () => Number(/^nr_throttled (\d+)$/m.exec(await read(cpu, "cpu.stat"))?.[1]);
      assert.match(await read(cpu, quotaFile), /^300000\b/);
      await shell.run("yes >/dev/null & busy=$!");
      await delay(1000);
      const before = await throttled();
      await machine.limitCpu();
      assert.match(await read(cpu, quotaFile), /^50000\b/);
      await retryUntil(async () => (await throttled()) >= before + 3);
      await shell.run("kill $busy");
      // One busy vCPU of two: it was far from its bound before.
      assert.equal(before, 0);
    });

    it("is found by its directory as the same machine", async () => {
      assert.equal(await vmm.find(spec.directory), machine);
    });

    it("keeps its directory and its id to itself", async () => {
      const sameDirectory = await failureOf(vmm.boot({ ...spec, id: `${spec.id}-b`, network: spec.network! }));
      assert.equal(sameDirectory.code, "InvalidSpec");
      const other = await specOf("same-id");
      const sameId = await failureOf(vmm.boot({ ...other, id: spec.id }));
      assert.equal(sameId.code, "InvalidSpec");
      assert.deepEqual(await readdir(other.directory), []);
      assert.equal(await shell.run("echo alive"), "alive");
    });

    it("refuses a second machine on its tap", async () => {
      const other = await specOf("same-tap", { network: spec.network! });
      const error = await failureOf(vmm.boot(other));
      assert.equal(error.code, "TapUnavailable");
      assert.deepEqual(await readdir(other.directory), []);
    });

    it("survives hosts that come and go on the agent's socket", async () => {
      for (let round = 0; round < 3; round++) {
        shell[Symbol.dispose]();
        shell = await GuestShell.connect(machine.agentSocketPath);
        assert.equal(await shell.run(`echo round ${round}`), `round ${round}`);
      }
    });

    it("leaves nothing when it is killed", async () => {
      await machine.kill();
      const exit = await machine.exited;
      assert.equal(exit.isExpected, true);
      assert.match(exit.consoleTail, /shell guest is up/);
      await machine.kill();
      await assertNothingLeft(spec, machine.pid);
      assert.equal(await vmm.find(spec.directory), undefined);
    });
  });

  it("tells a guest that ends itself, with the console's last words", async () => {
    const spec = await specOf("ends");
    const machine = await vmm.boot(spec);
    using shell = await GuestShell.connect(machine.agentSocketPath);
    shell.send("echo goodbye >/dev/console; reboot -f");
    const exit = await machine.exited;
    assert.equal(exit.isExpected, true);
    assert.equal(exit.exitCode, 0);
    assert.match(exit.consoleTail, /goodbye/);
    await assertNothingLeft(spec, machine.pid);
  });

  it("tells a guest that panics", async () => {
    const spec = await specOf("panics");
    const machine = await vmm.boot(spec);
    using shell = await GuestShell.connect(machine.agentSocketPath);
    shell.send("echo >/tmp/panic; exit");
    const exit = await machine.exited;
    assert.equal(exit.isExpected, false);
    assert.match(exit.consoleTail, /Kernel panic - not syncing: Attempted to kill init/);
    await assertNothingLeft(spec, machine.pid);
  });

  it("keeps what a guest may make the host hold bounded", async () => {
    const spec = await specOf("floods");
    const machine = await vmm.boot(spec);
    using shell = await GuestShell.connect(machine.agentSocketPath);
    // Three times the console's ring.
    await shell.run("yes 0123456789abcdef0123456789abcdef | head -c 200000 >/dev/console");
    await shell.run("echo the last line >/dev/console");
    assert.deepEqual((await readdir(spec.directory)).toSorted(), ["agent.sock", "machine.json", "qmp.sock"]);
    await machine.kill();
    const { consoleTail } = await machine.exited;
    assert.equal(consoleTail.length, 4096);
    assert.match(consoleTail, /the last line\s*$/);
  });

  it("stops a machine that finds the host's disk full, and lets it go on once there is space", async () => {
    const small = join(temporary.path, "small-disk");
    await mkdir(small);
    await runCommand("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", small]);
    try {
      const path = join(small, "scratch");
      await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", path, "8M"]);
      const warnings: string[] = [];
      const logger: Logger = { ...silentLogger, warn: (_fields, message) => warnings.push(message) };
      // Its waits for space are short; all else is as it is.
      const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 100), signal) };
      const cacheDirectory = join(temporary.path, "cache");
      const hasty = await createQemuVmm({ cacheDirectory, ...guest, logger, clock, accelerator: "tcg" });
      const spare = join(temporary.path, "single-image");
      await writeFile(spare, Buffer.alloc(4096));
      const spec = await specOf("full-disk", {
        disks: [
          { type: "parts", serial: "image", parts: [{ path: spare, sizeBytes: 4096 }] },
          { type: "qcow2", serial: "scratch", path, sizeBytes: 1 << 26 },
        ],
      });
      const machine = await hasty.boot(spec);
      using shell = await GuestShell.connect(machine.agentSocketPath);
      const writing = shell.run(
        "for d in /sys/block/vd?; do [ $(cat $d/serial) = scratch ] && disk=/dev/${d##*/}; done; " +
          "yes | dd of=$disk bs=4096 count=1024 conv=fsync 2>/dev/null; echo result $?",
      );
      await retryUntil(async () => warnings.length > 0);
      await runCommand("mount", ["-o", "remount,size=16m", small]);
      assert.equal(await writing, "result 0");
      await machine.kill();
    } finally {
      await runCommand("umount", [small]);
    }
  });

  it("reads and writes its disks no faster than it may, all of them together", async () => {
    const image = join(temporary.path, "throttled-image");
    await writeFile(image, Buffer.alloc(4 * 1024 * 1024, "i"));
    const path = join(temporary.path, "throttled-disk");
    await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", path, "8M"]);
    const rate = 1024 * 1024;
    const spec = await specOf("throttled", {
      limits: { cpuMilli: 1000, memoryMiB: 512, pids: 64, io: { readBytesPerSecond: rate, writeBytesPerSecond: rate } },
      disks: [
        { type: "parts", serial: "image", parts: [{ path: image, sizeBytes: 4 * 1024 * 1024 }] },
        { type: "qcow2", serial: "scratch", path, sizeBytes: 1 << 23 },
      ],
    });
    const machine = await vmm.boot(spec);
    using shell = await GuestShell.connect(machine.agentSocketPath);
    const find = (serial: string): string =>
      `for d in /sys/block/vd?; do [ $(cat $d/serial) = ${serial} ] && disk=/dev/\${d##*/}; done;`;
    for (const command of [
      `${find("image")} cat $disk | wc -c`,
      `${find("scratch")} head -c 4000000 /dev/zero >$disk; sync`,
    ]) {
      const startedMs = performance.now();
      await shell.run(command);
      // Four seconds' worth at least; a slow host only makes it longer.
      assert.ok(performance.now() - startedMs > 3000, command);
    }
    await machine.kill();
  });

  it("is ended by the host when it outgrows its memory bound, and says so", async () => {
    const spec = await specOf("outgrows", {
      memoryMiB: 512,
      limits: { cpuMilli: 1000, memoryMiB: 200, pids: 64 },
    });
    const machine = await vmm.boot(spec);
    using shell = await GuestShell.connect(machine.agentSocketPath);
    shell.send("mount -t tmpfs -o size=400m tmpfs /tmp; dd if=/dev/zero of=/tmp/fill bs=1M count=300");
    const exit = await machine.exited;
    assert.deepEqual([exit.signal, exit.isExpected], ["SIGKILL", false]);
    assert.match(exit.stderrTail, /outgrew the memory bound/);
    await assertNothingLeft(spec, machine.pid);
  });

  it("notices at once when the monitor dies", async () => {
    const spec = await specOf("dies");
    const machine = await vmm.boot(spec);
    process.kill(machine.pid, "SIGKILL");
    const exit = await machine.exited;
    assert.deepEqual([exit.signal, exit.exitCode, exit.isExpected], ["SIGKILL", undefined, false]);
    await assertNothingLeft(spec, machine.pid);
  });

  describe("after the process that started a machine was killed", () => {
    /** Boots a machine in another process and kills that process. */
    async function orphan(spec: MachineSpec): Promise<number> {
      const program = fileURLToPath(new URL("../testing/boot-and-wait.ts", import.meta.url));
      const options = { cacheDirectory: join(temporary.path, "cache"), ...guest };
      const child = spawn(process.execPath, [program, JSON.stringify(options), JSON.stringify(spec)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let output = "";
      for await (const chunk of child.stdout) {
        output += String(chunk);
        if (output.includes("\n")) break;
      }
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      const pid = Number(output);
      assert.ok(pid > 1, output);
      return pid;
    }

    /** What the monitor says of its guest, in a session that ends with the answer. */
    async function statusOf(spec: MachineSpec): Promise<unknown> {
      const qmp = await QmpClient.connect(join(spec.directory, machineFiles.qmp), { timeoutMs: 60_000 });
      try {
        const answer = await qmp.execute("query-status");
        return isRecord(answer) ? answer["status"] : undefined;
      } finally {
        qmp.close();
      }
    }

    it("finds the machine again, unharmed, and governs it", async () => {
      const spec = await specOf("orphan");
      const pid = await orphan(spec);
      const machine = await vmm.find(spec.directory);
      assert.ok(machine);
      assert.deepEqual([machine.id, machine.pid, machine.directory], [spec.id, pid, spec.directory]);
      using shell = await GuestShell.connect(machine.agentSocketPath);
      assert.equal(await shell.run("echo alive"), "alive");
      await machine.limitCpu();
      await machine.kill();
      assert.equal((await machine.exited).isExpected, true);
      assert.match((await machine.exited).consoleTail, /shell guest is up/);
      await assertNothingLeft(spec, pid);
    });

    it("notices the death of a machine it did not start", async () => {
      const spec = await specOf("orphan-dies");
      const pid = await orphan(spec);
      const machine = await vmm.find(spec.directory);
      assert.ok(machine);
      process.kill(pid, "SIGKILL");
      assert.equal((await machine.exited).isExpected, false);
      await assertNothingLeft(spec, pid);
    });

    it("learns how a guest ended while nobody was there", async () => {
      const spec = await specOf("orphan-ends");
      const pid = await orphan(spec);
      using shell = await GuestShell.connect(join(spec.directory, "agent.sock"));
      shell.send("echo nobody hears me >/dev/console; reboot -f");
      await retryUntil(async () => (await statusOf(spec)) === "shutdown");
      const machine = await vmm.find(spec.directory);
      assert.ok(machine);
      const exit = await machine.exited;
      assert.equal(exit.isExpected, true);
      assert.match(exit.consoleTail, /nobody hears me/);
      await assertNothingLeft(spec, pid);
    });

    it("clears away what a machine left that died meanwhile", async () => {
      const spec = await specOf("orphan-dead");
      const pid = await orphan(spec);
      process.kill(pid, "SIGKILL");
      await retryUntil(async () => (await identifyProcess(pid)) === undefined);
      assert.equal(await vmm.find(spec.directory), undefined);
      for (const directory of await cgroupsOf(spec.id)) assert.equal(existsSync(directory), false);
      assert.deepEqual(await readdir(spec.directory), []);
    });

    it("lets go of a machine without ending it, and takes it up again", async () => {
      const spec = await specOf("detached");
      const machine = await vmm.boot(spec);
      machine.detach();
      const again = await vmm.find(spec.directory);
      assert.ok(again);
      assert.notEqual(again, machine);
      assert.equal(again.pid, machine.pid);
      await again.kill();
      assert.deepEqual(await readdir(spec.directory), []);
    });
  });

  describe("a machine that cannot be started", () => {
    const failing = async (name: string, more: Partial<MachineSpec>, signal?: AbortSignal) => {
      const spec = await specOf(name, more);
      const error = await failureOf(vmm.boot(spec, signal));
      for (const directory of await cgroupsOf(spec.id)) assert.equal(existsSync(directory), false);
      assert.deepEqual(await readdir(spec.directory), []);
      assert.ok(error.remedy, "it names no remedy");
      return error;
    };

    it("names the disk that is missing", async () => {
      const disks = [{ type: "qcow2", serial: "x", path: "/nonexistent/disk", sizeBytes: 1 << 20 }] as const;
      const error = await failing("no-disk", { disks });
      assert.equal(error.code, "DiskUnavailable");
      assert.match(error.message, /\/nonexistent\/disk: No such file/);
    });

    it("names the tap that is missing, and makes none", async () => {
      const network = { namespacePath: "/proc/self/ns/net", tapName: "nosuchtap0", macAddress: "02:00:00:00:00:01" };
      const error = await failing("no-tap", { network });
      assert.equal(error.code, "TapUnavailable");
      assert.match(error.message, /nosuchtap0: No such device/);
      const elsewhere = await failing("no-netns", { network: { ...network, namespacePath: "/run/netns/nosuchns" } });
      assert.equal(elsewhere.code, "TapUnavailable");
      assert.match(elsewhere.message, /\/run\/netns\/nosuchns/);
    });

    it("repeats what QEMU says of a damaged disk", async () => {
      const path = join(temporary.path, "damaged");
      await writeFile(path, "this is no qcow2");
      const error = await failing("bad-disk", { disks: [{ type: "qcow2", serial: "x", path, sizeBytes: 1 << 20 }] });
      assert.equal(error.code, "LaunchFailed");
      assert.match(error.message, /not in qcow2 format/);
    });

    it("repeats what QEMU says of a damaged kernel", async () => {
      const kernelPath = join(temporary.path, "bad-kernel");
      await writeFile(kernelPath, "this is no kernel");
      const cacheDirectory = join(temporary.path, "cache");
      const options = { cacheDirectory, ...guest, kernelPath, logger: silentLogger, accelerator: "tcg" } as const;
      const broken = await createQemuVmm(options);
      const spec = await specOf("bad-kernel-machine");
      const error = await failureOf(broken.boot(spec));
      assert.equal(error.code, "LaunchFailed");
      assert.match(error.message, /kernel/);
      assert.deepEqual(await readdir(spec.directory), []);
    });

    it("is refused before anything is made when its description is wrong", async () => {
      for (const [name, more] of Object.entries<Partial<MachineSpec>>({
        "wrong-user": { userId: 0 },
        "wrong-pids": { limits: { cpuMilli: 100, memoryMiB: 512, pids: 8 } },
        "wrong-serial": { disks: [{ type: "qcow2", serial: "twenty-one-characters", path: "/x", sizeBytes: 1 << 20 }] },
        "wrong-io": { limits: { cpuMilli: 100, memoryMiB: 512, pids: 64, io: { readIops: 0 } } },
        "wrong-id": { id: "../x" },
      })) {
        const spec = await specOf(name, more);
        assert.equal((await failureOf(vmm.boot(spec))).code, "InvalidSpec", name);
      }
    });

    it("leaves nothing when the caller gives up", async () => {
      const spec = await specOf("aborted");
      const controller = new AbortController();
      const booting = vmm.boot(spec, controller.signal);
      setTimeout(() => controller.abort(), 15);
      await assert.rejects(booting, { name: "AbortError" });
      assert.deepEqual(await readdir(spec.directory), []);
      for (const directory of await cgroupsOf(spec.id)) assert.equal(existsSync(directory), false);
    });
  });
});

async function retryUntil(isTrue: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await isTrue()) return;
    await delay(50);
  }
  assert.fail("it did not come true within 30 s");
}
