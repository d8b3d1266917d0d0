import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { runCommand } from "@isopod/base";
import type { MachineSpec, Template, Vmm } from "../contract.ts";
import { ForkHost, runInFork, type TestFork } from "../testing/fork-host.ts";
import { endings, Intruder, type Intrusion, type World, worldOf } from "../testing/intruder.ts";
import { cgroupDirectories } from "./cgroup.ts";

const isRoot = process.getuid?.() === 0;

/** How each change of a file that is open for reading ends. */
const refusals: Readonly<Record<string, RegExp>> = {
  write: /EBADF/,
  pwrite: /EBADF/,
  "map shared": /EACCES/,
  "map and make writable": /EACCES/,
  "punch a hole": /EBADF/,
  "zero a range": /EBADF/,
  extend: /EBADF/,
  truncate: /EINVAL/,
  grow: /EINVAL/,
  seal: /EPERM/,
  "change the mode": /EPERM/,
  "change the owner": /EPERM/,
  "set an attribute": /EPERM/,
  "change the time": /EPERM/,
  lock: /EPERM/,
  "lock a range": /EPERM/,
  "lock a range as QEMU does": /EPERM/,
  lease: /EPERM/,
  "go around the cache": /EPERM/,
  "splice into": /EPERM/,
  "open its directory": /ENOTDIR/,
  remove: /EROFS/,
};
/** The same of sealed memory that is open for writing, where it is not EPERM. */
const sealRefusals: Readonly<Record<string, RegExp>> = {
  // Since Linux 6.7 it can be mapped at all.
  "map and make writable": /EACCES|EPERM/,
  "zero a range": /ENOTSUP/,
};

/** What a guest that took over its monitor can do, tried by a program with all that a fork's monitor is given. */
describe("a monitor in a guest's hands", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  let template: Template;
  let intruder: Intruder;
  /** Another tenant's. */
  let victim: TestFork;
  let tries = 0;

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
    template = await host.build(vmm);
    victim = await host.fork(vmm, template, "victim");
    intruder = await Intruder.create(host.path, template);
  });
  after(async () => {
    await intruder?.[Symbol.asyncDispose]();
    await host?.[Symbol.asyncDispose]();
  });

  async function attempt(task: string, more: World = {}, limits: Partial<MachineSpec> = {}): Promise<Intrusion> {
    const spec = await host.specOf(`intruder-${++tries}`, limits);
    const intrusion = await intruder.run(spec, task, ({ descriptors, fileBytes }) => ({
      ...worldOf(descriptors, fileBytes, victim),
      ...more,
    }));
    assert.equal(await runInFork(victim, "echo alive"), "alive");
    return intrusion;
  }

  function ending(outcomes: Intrusion["outcomes"], file: string, what: string): string {
    const name = `${file}: ${what}`;
    return `${name} ${String(outcomes[name])}`;
  }

  it("changes and locks nothing of what machines share: memory, state and disks of the template, file system, image", async () => {
    const read = async (): Promise<readonly Buffer[]> =>
      await Promise.all(
        ["memory.packed", "state", "scratch.qcow2"].map(
          async (name) => await readFile(host.file(`cache/templates/${template.id}/${name}`)),
        ),
      );
    const before = await read();
    const { outcomes } = await attempt("files");
    for (const file of ["memory", "state", "template's disk", "file system", "image"]) {
      const isMemory = file === "memory";
      for (const [what, refusal] of Object.entries(refusals)) assert.match(ending(outcomes, file, what), refusal);
      // QEMU insists on opening memory for writing: seals hold it, as below.
      const opened = isMemory ? /done/ : /EACCES/;
      for (const what of ["open for writing", "open for both"]) assert.match(ending(outcomes, file, what), opened);
      assert.match(ending(outcomes, file, "open and truncate"), isMemory ? /EPERM/ : /EACCES/);
    }
    for (const what of Object.keys(refusals).filter((one) => !one.startsWith("open") && one !== "remove")) {
      assert.match(ending(outcomes, "memory opened again", what), sealRefusals[what] ?? /EPERM/);
    }
    assert.deepEqual(await read(), before);
    const machine = await vmm.fork(await host.specOf("after-files"), template);
    await machine.kill();
  });

  it("can make its tap no other, nor learn where it leads", async () => {
    const { outcomes } = await attempt("tap");
    assert.deepEqual(endings(outcomes)["done"], ["ask its name"]);
    const { done: _, EPERM: refused = [], EACCES: closed = [], ...others } = endings(outcomes);
    assert.deepEqual(others, {});
    assert.equal(refused.length + closed.length, 8);
    const { stdout } = await runCommand("ip", ["-n", host.namespace, "-o", "link"]);
    assert.doesNotMatch(stdout, /new0/);
  });

  it("has no network: no socket of any family", async () => {
    const { outcomes } = await attempt("network");
    assert.deepEqual(outcomes, { socket: "EPERM", "socket pair of another family": "EPERM" });
  });

  it("makes no namespace, mount, device or file, and sees nothing of the host", async () => {
    const { outcomes } = await attempt("namespaces");
    const {
      root,
      devices,
      descriptors,
      "set-user-id programs work": setUserId,
      "no new privileges": bound,
      ...rest
    } = outcomes;
    assert.deepEqual(root, ["dev", "etc", "fd", "lib", "lib64", "usr"]);
    assert.deepEqual(devices, ["null", "urandom", "zero"]);
    assert.deepEqual([setUserId, bound], [false, 1]);
    const groups = endings(rest);
    assert.deepEqual(groups["ENOSYS"], ["clone3"]);
    assert.deepEqual(groups["done"], undefined);
    for (const name of Object.keys(rest).filter((one) => one.startsWith("look at")))
      assert.equal(rest[name], "ENOENT", name);
    for (const name of Object.keys(rest).filter((one) => one.startsWith("make")))
      assert.match(String(rest[name]), /EROFS|EACCES|ENOENT/, name);
    for (const name of ["unshare user", "clone user", "setns", "mount", "change root", "become root"])
      assert.equal(rest[name], "EPERM", name);
    assert.ok(Array.isArray(descriptors));
  });

  it("reaches no process: no signal, no memory, no descriptor, no limit", async () => {
    const { outcomes } = await attempt("processes");
    const { "signal to any process": heard, ...rest } = outcomes;
    assert.deepEqual(heard, ["EPERM"]);
    assert.deepEqual(Object.keys(endings(rest)), ["EPERM"], JSON.stringify(rest));
  });

  it("reaches no part of the kernel that a monitor does not need", async () => {
    const { outcomes } = await attempt("kernel");
    const groups = endings(outcomes);
    assert.deepEqual(Object.keys(groups).toSorted(), ["ENOSYS", "EPERM"]);
    assert.deepEqual(groups["ENOSYS"], ["a newer call", "a call that will be", "a call of x32"]);
  });

  it("grows its disk no further than its bound, and holds no more files than its bound", async () => {
    const { outcomes } = await attempt("limits");
    const { core, opened, ...rest } = outcomes;
    assert.deepEqual(rest, {
      "write to its own disk": "done",
      "write at the bound": "done",
      "write beyond it": "EFBIG",
      "truncate beyond it": "EFBIG",
      "allocate beyond it": "EFBIG",
      "raise the bound": "EPERM",
      "raise the number of files": "EPERM",
      "allow a core": "EPERM",
      "open files": "EMFILE",
    });
    assert.deepEqual(core, [0, 0]);
    assert.ok(Number(opened) < 1024);
  });

  it("has no more processes than its bound, and none outlives it", async () => {
    for (const leaves of [false, true]) {
      const { outcomes, cgroups } = await attempt("bomb", { "leaves children": leaves });
      assert.deepEqual([outcomes["made"], outcomes["ended by"]], [63, "EAGAIN"]);
      for (const directory of cgroupDirectories(cgroups)) assert.equal(existsSync(directory), false, directory);
    }
  });

  it("is ended when it takes more memory than its bound, of whatever kind, and nobody else is", async () => {
    for (const kind of ["anonymous", "file"]) {
      const limits = { limits: { cpuMilli: 1000, memoryMiB: 64, pids: 64 } };
      const { outcomes, signal } = await attempt("hog", { kind }, limits);
      assert.deepEqual([outcomes, signal], [{}, "SIGKILL"]);
    }
  });
});
