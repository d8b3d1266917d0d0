import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import type { Template, Vmm } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import { ForkHost, runInFork, type TestFork, testShape } from "../../testing/fork-host.ts";
import { cgroupDirectories, findCgroupRoots, machineCgroup } from "../cgroup.ts";

const isRoot = process.getuid?.() === 0;

describe("forks of one template", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  let template: Template;
  let forks: readonly [TestFork, TestFork];

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
    template = await host.build(vmm);
    forks = [await host.fork(vmm, template, "first"), await host.fork(vmm, template, "second")];
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  const inEach = async (script: string): Promise<readonly string[]> =>
    await Promise.all(forks.map(async (fork) => await runInFork(fork, script)));

  it("share no random stream, from their first draw on", async () => {
    // Bytes, an identifier the kernel draws, and where it put the stack: each of another of the kernel's generators.
    const script =
      "head -c 64 /dev/urandom | xxd -p -c 64; cat /proc/sys/kernel/random/uuid; grep stack /proc/self/maps";
    const drawn = [...(await inEach(script)), ...(await inEach(script))].flatMap((text) => text.split("\n"));
    assert.equal(drawn.length, 12);
    assert.equal(new Set(drawn).size, 12, drawn.join("\n"));
  });

  it("have a boot id of their own, the same for all their containers", async () => {
    const look = "cat /proc/sys/kernel/random/boot_id";
    const [first, second] = await inEach(look);
    assert.notEqual(first, second);
    assert.deepEqual(await inEach(look), [first, second]);
  });

  it("have their own host name, hardware address and address", async () => {
    const seen = await inEach(
      "hostname; cat /sys/class/net/eth0/address; ip -4 addr show eth0 | grep -c 'inet 10.0.0.'",
    );
    const expected = forks.map(({ spec }) => `${spec.id}\n${spec.network?.macAddress}\n1`);
    assert.deepEqual(seen, expected);
  });

  it("have the host's time, and a monotonic clock that goes on at the host's pace from where the template's was", async () => {
    for (const fork of forks) {
      const beforeMs = performance.now();
      const earliest = Math.floor(Date.now() / 1000);
      const text = await runInFork(
        fork,
        "date +%s; cut -d ' ' -f 1 /proc/uptime; sleep 2; cut -d ' ' -f 1 /proc/uptime",
      );
      const elapsedSeconds = (performance.now() - beforeMs) / 1000;
      const [wall = 0, start = 0, end = 0] = text.split("\n").map(Number);
      assert.ok(wall >= earliest - 1 && wall <= Date.now() / 1000 + 1, `${wall} at ${earliest}`);
      // The guest tells hundredths.
      assert.ok(end - start >= 1.98 && end - start <= elapsedSeconds + 0.02, `${end - start} s in ${elapsedSeconds} s`);
    }
  });

  it("write to disks of their own, which begin with a clean file system", async () => {
    const written = await inEach(
      "ls -A /tmp; hostname >/tmp/mine; sync; cat /tmp/mine; df -m / | tail -1 | tr -s ' ' | cut -d ' ' -f 2",
    );
    for (const [index, text] of written.entries()) {
      const [name, sizeMiB] = text.split("\n");
      assert.equal(name, forks[index]?.spec.id);
      assert.ok(Number(sizeMiB) > 32 && Number(sizeMiB) <= 64, text);
    }
  });

  it("touch only a part of the template's memory, and share the rest", async () => {
    for (const { machine } of forks) {
      const maps = (await readFile(`/proc/${machine.pid}/smaps`, "utf8")).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
      const ram = maps.filter((one) => one.includes("/memfd:template")).join("");
      const sizeOf = (field: string): number =>
        [...ram.matchAll(new RegExp(`^${field}:\\s+(\\d+) kB`, "gm"))].reduce(
          (sum, match) => sum + Number(match[1]),
          0,
        );
      const [own, shared] = [sizeOf("Anonymous"), sizeOf("Shared_Dirty") + sizeOf("Shared_Clean")];
      assert.ok(own > 0 && own < 32 * 1024, `${own} KiB of its own`);
      assert.ok(shared > 1024, `${shared} KiB shared`);
    }
  });

  it("are found again by another service, and leave nothing when they are killed", async () => {
    const fork = await host.fork(vmm, template, "orphan");
    const { machine, spec } = fork;
    await host.abandon(fork);
    const later = await host.openVmm();
    const found = await later.find(spec.directory);
    assert.equal(found?.pid, machine.pid);
    await found?.kill();
    assert.deepEqual(await readdir(spec.directory), []);
    for (const directory of cgroupDirectories(machineCgroup(await findCgroupRoots(), spec.id))) {
      assert.equal(existsSync(directory), false, directory);
    }
  });

  it("may have bounds on their disks that the template had not", async () => {
    const rate = 1024 * 1024;
    const limits = { cpuMilli: 1000, memoryMiB: 512, pids: 64, io: { writeBytesPerSecond: rate } };
    const fork = await host.fork(vmm, template, "throttled", { limits });
    const startedMs = performance.now();
    assert.equal(await runInFork(fork, "head -c 3000000 /dev/zero >/file; sync; wc -c </file"), "3000000");
    assert.ok(performance.now() - startedMs > 2000);
    await fork.machine.kill();
  });

  it("are refused where they do not fit the template, and nothing is made", async () => {
    for (const [name, more] of Object.entries({
      memory: { memoryMiB: 256 },
      vcpus: { vcpus: 2 },
      disks: { disks: [] },
    })) {
      const spec = await host.specOf(`misfit-${name}`, more);
      const error: unknown = await vmm.fork(spec, template).catch((one: unknown) => one);
      assert.ok(error instanceof VmmError && error.code === "InvalidSpec", String(error));
      assert.deepEqual(await readdir(spec.directory), []);
    }
  });

  it("run on when the template is removed, which then is there no more", async () => {
    await vmm.templates.remove(template.id);
    assert.deepEqual(await vmm.templates.list(), []);
    assert.equal(await vmm.templates.find(testShape), undefined);
    const spec = await host.specOf("too-late");
    await assert.rejects(vmm.fork(spec, template), { code: "TemplateFailed" });
    assert.deepEqual(await readdir(spec.directory), []);
    assert.deepEqual(await inEach("echo alive; head -c 30000000 /dev/zero | wc -c"), [
      "alive\n30000000",
      "alive\n30000000",
    ]);
    await assert.rejects(vmm.templates.remove(template.id), { code: "NotFound" });
  });
});
