import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Clock, systemClock } from "@isopod/base";
import type { Machine, MachineSpec, Vmm } from "../contract.ts";
import { ForkHost } from "../testing/fork-host.ts";
import { cgroupDirectories, findCgroupRoots, machineCgroup } from "./cgroup.ts";
import { machineFiles, readMachineRecord, writeMachineRecord } from "./machine-record.ts";
import { identifyProcess } from "./process-identity.ts";

const isRoot = process.getuid?.() === 0;
/** All that a machine waits for is over soon. */
const hastyClock: Clock = { ...systemClock, sleep: async (_ms, signal) => await systemClock.sleep(10, signal) };

describe("a machine", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  const monitors: ChildProcess[] = [];

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
  });
  after(async () => {
    for (const child of monitors) child.kill("SIGKILL");
    await host?.[Symbol.asyncDispose]();
  });

  const directoriesOf = async (id: string): Promise<readonly string[]> =>
    cgroupDirectories(machineCgroup(await findCgroupRoots(), id));

  /** Has a monitor of its own kind found as the machine of that description; `told` grows by what it is told. */
  async function findFake(
    spec: MachineSpec,
    status: string,
  ): Promise<{ readonly machine: Machine; readonly told: string[]; readonly child: ChildProcess }> {
    const program = fileURLToPath(new URL("../testing/fake-monitor.ts", import.meta.url));
    // A Unix socket in the place of standard error cannot be opened again, a pipe could not be without waiting.
    const child = spawn(process.execPath, [program, spec.directory, spec.id, status], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    monitors.push(child);
    const told: string[] = [];
    child.stdout.on("data", (data: Buffer) => void told.push(...String(data).trim().split("\n")));
    await once(child.stdout, "data");
    const identity = await identifyProcess(child.pid ?? 0);
    assert.ok(identity);
    const cgroups = machineCgroup(await findCgroupRoots(), spec.id);
    await writeMachineRecord(spec.directory, { id: spec.id, cpuMilli: 500, cgroups, process: identity });
    const hasty = await host.openVmm({ clock: hastyClock });
    await assert.rejects(hasty.find(spec.directory), /not now/);
    const machine = await hasty.find(spec.directory);
    assert.ok(machine, "the session that failed is closed, so that another one is heard");
    return { machine, told, child };
  }

  it("is found and ended whose monitor replaced its standard error and refuses to answer once", async () => {
    const spec = await host.specOf("broken-out");
    const { machine } = await findFake(spec, "running");
    await machine.kill();
    assert.equal((await machine.exited).stderrTail, "");
    assert.deepEqual(await readdir(spec.directory), []);
  });

  it("that a full disk stopped is told to go on until it has heard", async () => {
    const spec = await host.specOf("full");
    const { machine, told } = await findFake(spec, "io-error");
    while (told.filter((one) => one === "cont").length < 2) await delay(10);
    await machine.kill();
  });

  it("that a full disk stopped stays paused once it is", async () => {
    const spec = await host.specOf("full-and-paused");
    const { machine, told } = await findFake(spec, "io-error");
    await machine.pause();
    // Fifty times as long as it waits.
    await delay(500);
    assert.equal(told.includes("stop"), true);
    assert.equal(told.slice(told.indexOf("stop")).includes("cont"), false);
    await machine.kill();
  });

  it("that answers no more is ended by its record", async () => {
    const spec = await host.specOf("silent");
    const { machine, child } = await findFake(spec, "running");
    machine.detach();
    child.kill("SIGSTOP");
    const ended = once(child, "exit");
    await vmm.end(spec.directory);
    await ended;
    assert.deepEqual(await readdir(spec.directory), []);
    // There is none any more.
    await vmm.end(spec.directory);
  });

  it("keeps its record until all of it can be removed", async () => {
    const spec = await host.specOf("held");
    const machine = await vmm.boot(spec);
    const directories = await directoriesOf(spec.id);
    const [first = ""] = directories;
    const inside = join(first, "inside");
    await mkdir(inside);
    try {
      await machine.kill();
      assert.deepEqual(await readdir(spec.directory), [machineFiles.agent, machineFiles.record, machineFiles.qmp]);
      await assert.rejects(vmm.end(spec.directory), { code: "EBUSY" });
      assert.ok((await readMachineRecord(spec.directory)) !== undefined);
      assert.deepEqual(directories.filter(existsSync), [first]);
    } finally {
      await rmdir(inside);
    }
    await vmm.end(spec.directory);
    assert.deepEqual(directories.filter(existsSync), []);
    assert.deepEqual(await readdir(spec.directory), []);
  });
});
