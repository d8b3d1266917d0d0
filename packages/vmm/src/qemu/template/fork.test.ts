import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import type { Template, Vmm } from "../../contract.ts";
import { VmmError } from "../../errors.ts";
import {
  assertHostTime,
  assertOwnBootIds,
  assertOwnDisks,
  assertOwnNames,
  assertOwnRandomness,
  runInEach,
} from "../../testing/own-identity.ts";
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

  it("share no random stream, from their first draw on", async () => {
    await assertOwnRandomness(forks);
  });

  it("have a boot id of their own, the same for all their containers", async () => {
    await assertOwnBootIds(forks);
  });

  it("have their own host name, hardware address and address", async () => {
    await assertOwnNames(forks);
  });

  it("have the host's time, and a monotonic clock that goes on at the host's pace from where the template's was", async () => {
    await assertHostTime(forks);
  });

  it("write to disks of their own, which begin with a clean file system", async () => {
    await assertOwnDisks(forks);
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
    assert.deepEqual(await runInEach(forks, "echo alive; head -c 30000000 /dev/zero | wc -c"), [
      "alive\n30000000",
      "alive\n30000000",
    ]);
    await assert.rejects(vmm.templates.remove(template.id), { code: "NotFound" });
  });
});
