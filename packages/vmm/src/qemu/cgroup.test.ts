import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import {
  type CgroupPaths,
  chooseCgroupRoots,
  createCgroup,
  limitCgroupCpu,
  limitCgroupMemory,
  machineCgroup,
  wasKilledForMemory,
} from "./cgroup.ts";

const v1 = `cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
`;

describe("the place of machines' cgroups", () => {
  it("is version 2 where it has the controllers", async () => {
    const mounts = `${v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
    const roots = await chooseCgroupRoots(mounts, async () => "cpuset cpu io memory pids\n");
    assert.deepEqual([roots.version, roots.cpu], [2, "/sys/fs/cgroup/unified/isopod"]);
  });

  it("is version 1 where version 2 is mounted without controllers", async () => {
    const mounts = `cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n${v1}`;
    assert.deepEqual(await chooseCgroupRoots(mounts, async () => "\n"), {
      version: 1,
      cpu: "/sys/fs/cgroup/cpu,cpuacct/isopod",
      memory: "/sys/fs/cgroup/memory/isopod",
      pids: "/sys/fs/cgroup/pids/isopod",
    });
  });

  it("is an error with a remedy where there is none", async () => {
    await assert.rejects(
      chooseCgroupRoots("proc /proc proc rw 0 0\n", async () => ""),
      { code: "CgroupUnavailable", remedy: /mount -t cgroup2/ },
    );
  });
});

/** Plain files in the place of the kernel's: what is written where, also in the version this host lacks. */
describe("a machine's cgroup", () => {
  async function fake(
    version: 1 | 2,
  ): Promise<AsyncDisposable & { readonly paths: CgroupPaths; readonly root: string }> {
    const temporary = await temporaryDirectory();
    const root = temporary.path;
    const at = (name: string): string => (version === 2 ? join(root, "isopod") : join(root, name, "isopod"));
    const roots = { version, cpu: at("cpu"), memory: at("memory"), pids: at("pids") };
    if (version === 2) {
      await mkdir(join(root, "isopod"));
      for (const directory of [root, join(root, "isopod")])
        await writeFile(join(directory, "cgroup.subtree_control"), "");
    }
    return { paths: machineCgroup(roots, "m"), root, [Symbol.asyncDispose]: temporary[Symbol.asyncDispose] };
  }
  const read = async (...parts: readonly string[]): Promise<string> => await readFile(join(...parts), "utf8");

  it("has its bounds from the start, the CPU's by period, in version 2", async () => {
    await using host = await fake(2);
    const own = join(host.root, "isopod/m");
    await createCgroup(host.paths, { cpuMilli: 2000, memoryMiB: 100, pids: 50 });
    assert.equal(await read(own, "memory.max"), "104857600");
    assert.equal(await read(own, "pids.max"), "50");
    assert.equal(await read(own, "cpu.max"), "200000 100000");
    for (const directory of [host.root, join(host.root, "isopod")])
      assert.equal(await read(directory, "cgroup.subtree_control"), "+cpu +memory +pids");
    // Of all threads of the monitor, which is alone in it.
    await limitCgroupCpu(host.paths, 250);
    assert.equal(await read(own, "cpu.max"), "25000 100000");
    await limitCgroupMemory(host.paths, 200);
    assert.equal(await read(own, "memory.max"), "209715200");
    await writeFile(join(own, "memory.events"), "low 0\noom 1\noom_kill 1\n");
    assert.equal(await wasKilledForMemory(host.paths), true);
  });

  it("has the same bounds in the three hierarchies of version 1", async () => {
    await using host = await fake(1);
    await createCgroup(host.paths, { cpuMilli: 2000, memoryMiB: 100, pids: 50 });
    assert.equal(await read(host.root, "memory/isopod/m/memory.limit_in_bytes"), "104857600");
    assert.equal(await read(host.root, "pids/isopod/m/pids.max"), "50");
    assert.equal(await read(host.root, "cpu/isopod/m/cpu.cfs_quota_us"), "200000");
    await limitCgroupCpu(host.paths, 100);
    assert.equal(await read(host.root, "cpu/isopod/m/cpu.cfs_period_us"), "100000");
    assert.equal(await read(host.root, "cpu/isopod/m/cpu.cfs_quota_us"), "10000");
    await writeFile(join(host.root, "memory/isopod/m/memory.oom_control"), "under_oom 0\noom_kill 0\n");
    assert.equal(await wasKilledForMemory(host.paths), false);
  });

  it("never gets less CPU than the kernel's least quota", async () => {
    await using host = await fake(2);
    await createCgroup(host.paths, { cpuMilli: 1000, memoryMiB: 100, pids: 50 });
    await limitCgroupCpu(host.paths, 1);
    assert.equal(await read(host.root, "isopod/m/cpu.max"), "1000 100000");
  });
});
