import assert from "node:assert/strict";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runScript } from "@isopod/guest/testing";
import type { Template, Vmm } from "../contract.ts";
import { ForkHost, runInFork, testShape } from "../testing/fork-host.ts";
import { findCgroupRoots, machineCgroup } from "./cgroup.ts";

const isRoot = process.getuid?.() === 0;
const mebibyte = 1024 * 1024;
const shape = { ...testShape, memoryMiB: 384 };
/** As a node has them: what the guest's own needs leave of its memory, and what its monitor may use. */
const podMemoryMiB = 320;
const limits = { cpuMilli: 1000, memoryMiB: shape.memoryMiB + 40 + 64, pids: 64 };

describe("the memory of a fork", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  let template: Template;

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
    template = await host.build(vmm, shape);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  /** What a template's memory takes of the host's. */
  async function templateBytes(): Promise<number> {
    const own = `/proc/${process.pid}/fd`;
    for (const name of await readdir(own)) {
      const path = join(own, name);
      if ((await readlink(path).catch(() => "")).startsWith("/memfd:template")) return (await stat(path)).blocks * 512;
    }
    assert.fail("no template is loaded");
  }

  it("is its own, and is counted once: a template does not grow by what its forks use", async () => {
    const before = await templateBytes();
    const fork = await host.fork(vmm, template, "grows", { memoryMiB: shape.memoryMiB, limits }, podMemoryMiB);
    const output = await runInFork(fork, "head -c 120000000 /dev/zero | tail -c 120000000 | wc -c");
    assert.equal(output, "120000000");
    assert.ok((await templateBytes()) < before + 16 * mebibyte, `${before} bytes, then ${await templateBytes()}`);
    await fork.machine.kill();
  });

  it("that its containers use up ends them, inside, and never the machine", async () => {
    const more = { memoryMiB: shape.memoryMiB, limits };
    const fork = await host.fork(vmm, template, "used-up", more, podMemoryMiB);
    for (let round = 0; round < 2; round++) {
      const { state } = await runScript(fork.client, "exec tail /dev/zero");
      assert.equal(state.exit?.isOomKilled, true);
    }
    assert.equal(await runInFork(fork, "echo alive"), "alive");
    const { memory, version } = machineCgroup(await findCgroupRoots(), fork.spec.id);
    const events = await readFile(join(memory, version === 2 ? "memory.events" : "memory.oom_control"), "utf8");
    assert.match(events, /^oom_kill 0$/m);
  });
});
