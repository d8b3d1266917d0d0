import assert from "node:assert/strict";
import { readFile, readlink } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { runCommand } from "@isopod/base";
import type { Template, Vmm } from "../../contract.ts";
import { CloneIntruder } from "../../testing/clone-intruder.ts";
import { ForkHost, runInFork, type TestFork } from "../../testing/fork-host.ts";
import { endings, type World } from "../../testing/intruder.ts";
import { childrenOf, statusOf, threadsOf } from "../../testing/process-look.ts";
import { descriptorsOf } from "../process-identity.ts";

const isRoot = process.getuid?.() === 0;

/** Which descriptors of two processes are one and the same opening, by number. */
const sharedProgram = `
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
first, second = int(sys.argv[1]), int(sys.argv[2])
shared = []
for name in os.listdir(f"/proc/{first}/fd"):
    for other in os.listdir(f"/proc/{second}/fd"):
        result = libc.syscall(312, first, second, 0, ctypes.c_ulong(int(name)), ctypes.c_ulong(int(other)))
        if result < 0: raise OSError(ctypes.get_errno(), "kcmp")
        if result == 0: shared.append(int(name))
print(json.dumps(sorted(set(shared))))
`;

describe("the jail of a clone", { skip: isRoot ? false : "needs root" }, () => {
  let host: ForkHost;
  let vmm: Vmm;
  let template: Template;
  let zygote: number;
  let plain: TestFork;
  let clone: TestFork;
  let other: TestFork;

  before(async () => {
    host = await ForkHost.open();
    vmm = await host.openVmm();
    template = await host.build(vmm);
    plain = await host.fork(vmm, template, "plain");
    zygote = await host.keepZygote(vmm, template);
    clone = await host.fork(vmm, template, "clone");
    other = await host.fork(vmm, template, "other");
    assert.deepEqual((await childrenOf(zygote)).toSorted(), [clone.machine.pid, other.machine.pid].toSorted());
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  it("holds each of its threads as a fork's", async () => {
    const fields = [
      "Groups",
      "CapInh",
      "CapPrm",
      "CapEff",
      "CapBnd",
      "CapAmb",
      "NoNewPrivs",
      "Seccomp",
      "Seccomp_filters",
    ];
    const expected = (await statusOf(plain.machine.pid)) ?? new Map();
    for (const thread of await threadsOf(clone.machine.pid)) {
      const status = (await statusOf(clone.machine.pid, thread)) ?? new Map();
      for (const field of fields) assert.equal(status.get(field), expected.get(field), `${field} of ${thread}`);
      const user = Array.from({ length: 4 }, () => clone.spec.userId).join("\t");
      assert.deepEqual([status.get("Uid"), status.get("Gid")], [user, user]);
      assert.equal(status.get("NSsid"), String(clone.machine.pid), "a session of its own");
    }
    assert.ok((await threadsOf(clone.machine.pid)).length > 2);
    const bounds = async ({ machine, spec }: TestFork): Promise<string> =>
      (await readFile(`/proc/${machine.pid}/limits`, "utf8")).replaceAll(String(spec.userId), "its user");
    assert.equal(await bounds(clone), await bounds(plain));
    for (const file of ["oom_score_adj", "coredump_filter"]) {
      const read = async ({ machine }: TestFork): Promise<string> =>
        await readFile(`/proc/${machine.pid}/${file}`, "utf8");
      assert.equal(await read(clone), await read(plain));
    }
    for (const kind of ["net", "mnt", "ipc", "uts"]) {
      const of = async (pid: number | "self"): Promise<string> => await readlink(`/proc/${pid}/ns/${kind}`);
      assert.notEqual(await of(clone.machine.pid), await of("self"));
    }
  });

  it("has no descriptor that leads to its zygote or to another machine", async () => {
    const open = await descriptorsOf(clone.machine.pid);
    for (const [number, target] of open) {
      assert.doesNotMatch(target, /zygote\/(?!image)|\/task|\/proc|pipe:/, `${number}`);
    }
    const sockets = async (pid: number): Promise<readonly string[]> =>
      [...(await descriptorsOf(pid)).values()].filter((one) => one.startsWith("socket:"));
    const own = await sockets(clone.machine.pid);
    // It listens on two, and has the conversations that came of them.
    assert.ok(own.length >= 2 && own.length <= 4, own.join());
    for (const pid of [zygote, other.machine.pid, process.pid]) {
      const theirs = await sockets(pid);
      assert.deepEqual(
        own.filter((one) => theirs.includes(one)),
        [],
      );
    }
    for (const pid of [zygote, other.machine.pid]) {
      const { stdout } = await runCommand("python3", ["-c", sharedProgram, String(clone.machine.pid), String(pid)]);
      const shared: readonly number[] = JSON.parse(stdout);
      for (const number of shared) {
        const target = open.get(number) ?? "";
        // What is only read, by all alike.
        assert.match(
          target,
          /^\/(dev\/)?null$|memfd:(template|content)|scratch\.qcow2$|ext4-|zygote\/image$/,
          `${number}`,
        );
        const info = await readFile(`/proc/${clone.machine.pid}/fdinfo/${number}`, "utf8");
        const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? "", 8);
        // QEMU insists on opening memory for writing, which its seals forbid.
        if (!/memfd:template|^\/dev\/null$/.test(target)) assert.equal(flags & 3, 0, `${number} ${target}`);
      }
    }
  });

  describe("with a hostile program in it", () => {
    async function attempt(task: string): Promise<World> {
      await using intruder = await CloneIntruder.start(host, template, task, other);
      const { threads, ...outcomes } = await intruder.clone();
      assert.equal(threads, "run");
      assert.equal(await runInFork(other, "echo alive"), "alive");
      return outcomes;
    }

    function assertRefused(outcomes: World, except: readonly string[] = []): void {
      const { done = [] } = endings(outcomes);
      assert.deepEqual(done, except);
    }

    it("changes nothing of what machines share", async () => {
      assertRefused(await attempt("files"));
    });

    it("can make its tap no other", async () => {
      assertRefused(await attempt("tap"), ["ask its name"]);
    });

    it("has no network", async () => {
      assert.deepEqual(await attempt("network"), { socket: "EPERM", "socket pair of another family": "EPERM" });
    });

    it("makes nothing, and sees nothing of the host or of its zygote", async () => {
      const { root, devices, descriptors, "no new privileges": bound, ...rest } = await attempt("namespaces");
      assert.deepEqual(root, ["dev", "etc", "fd", "lib", "lib64", "usr"]);
      assert.deepEqual(devices, ["null", "urandom", "zero"]);
      // The zygote's.
      assert.equal(descriptors, "EACCES");
      assert.equal(bound, 1);
      assertRefused(rest);
    });

    it("reaches no process", async () => {
      const { "signal to any process": heard, ...rest } = await attempt("processes");
      assert.deepEqual(heard, ["EPERM"]);
      assert.deepEqual(Object.keys(endings(rest)), ["EPERM"]);
    });

    it("reaches no part of the kernel that a monitor does not need", async () => {
      assert.deepEqual(Object.keys(endings(await attempt("kernel"))).toSorted(), ["ENOSYS", "EPERM"]);
    });

    it("grows its disk no further than its bound, and holds no more files than its bound", async () => {
      const outcomes = await attempt("limits");
      assert.deepEqual([outcomes["core"], outcomes["open files"]], [[0, 0], "EMFILE"]);
      assertRefused(outcomes, ["write to its own disk", "write at the bound"]);
    });

    it("has none of the rights by which zygotes make clones, and can be made any number of times", async () => {
      await using intruder = await CloneIntruder.start(host, template, "zygote's rights", other);
      for (let count = 0; count < 20; count++) {
        const { descriptors, threads, ...outcomes } = await intruder.clone();
        assert.equal(threads, "run");
        assertRefused(outcomes, ["start a thread"]);
        assert.ok(Array.isArray(descriptors));
        assert.deepEqual(descriptors.slice(0, 4), [0, 1, 2, 9], "no requests, no list of threads, no conversation");
      }
      assert.deepEqual(await childrenOf(intruder.pid), []);
    });
  });
});
