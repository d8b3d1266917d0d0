import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseCgroupRoots } from "./cgroup.ts";

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
