import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Logger, silentLogger, temporaryDirectory } from "@isopod/base";
import { shellGuest } from "../testing/shell-guest.ts";
import { findCgroupRoots, machineCgroup } from "./cgroup.ts";
import { writeMachineRecord } from "./machine-record.ts";
import { identifyProcess } from "./process-identity.ts";
import { createQemuVmm } from "./qemu-vmm.ts";

const isRoot = process.getuid?.() === 0;

describe("the choice of an accelerator", { skip: isRoot ? false : "needs root" }, () => {
  it("proves KVM by a boot, once, and falls back to emulation with one warning", async () => {
    await using directory = await temporaryDirectory("isopod-vmm-test-");
    const guest = await shellGuest(directory.path);
    const cacheDirectory = join(directory.path, "cache");
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_fields, message) => warnings.push(message) };
    const first = await createQemuVmm({ cacheDirectory, ...guest, logger });
    assert.equal(warnings.length, first.accelerator.name === "tcg" ? 1 : 0);
    assert.equal(first.accelerator.reason === undefined, first.accelerator.name === "kvm");
    assert.deepEqual(
      (await readdir(cacheDirectory)).filter((name) => name.startsWith("kvm-probe")),
      [],
    );

    const demanded = createQemuVmm({ cacheDirectory, ...guest, logger, accelerator: "kvm" });
    if (first.accelerator.name === "kvm") assert.equal((await demanded).accelerator.name, "kvm");
    else await assert.rejects(demanded, { code: "NoAccelerator", remedy: /hardware virtualisation/ });
    if (!existsSync("/dev/kvm")) return;

    const cache = join(cacheDirectory, "accelerator.json");
    const { mtimeMs } = await stat(cache);
    assert.deepEqual((await createQemuVmm({ cacheDirectory, ...guest, logger })).accelerator, first.accelerator);
    assert.equal((await stat(cache)).mtimeMs, mtimeMs, "it was probed again");
    // The result of another kernel, CPU or QEMU does not count.
    await writeFile(
      cache,
      JSON.stringify({ ...JSON.parse(await readFile(cache, "utf8")), key: "other", reason: "other" }),
    );
    assert.deepEqual((await createQemuVmm({ cacheDirectory, ...guest, logger })).accelerator, first.accelerator);
  });

  it("ends the machine of a probe that was killed with its service", async () => {
    await using directory = await temporaryDirectory("isopod-vmm-test-");
    const guest = await shellGuest(directory.path);
    const cacheDirectory = join(directory.path, "cache");
    const left = join(cacheDirectory, "kvm-probe-left");
    await mkdir(left, { recursive: true });
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    const ended = once(child, "exit");
    const identity = await identifyProcess(child.pid ?? 0);
    assert.ok(identity);
    const id = `kvm-probe-test-${process.pid}`;
    const cgroups = machineCgroup(await findCgroupRoots(), id);
    await writeMachineRecord(left, { id, cpuMilli: 1000, cgroups, process: identity });
    const vmm = await createQemuVmm({ cacheDirectory, ...guest, logger: silentLogger, accelerator: "tcg" });
    await ended;
    assert.equal(existsSync(left), false);
    await vmm.close();
  });
});
