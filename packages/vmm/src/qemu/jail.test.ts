import assert from "node:assert/strict";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import { launch } from "./launch.ts";
import { launcherBinary } from "./launcher-binary.ts";
import { Launchers } from "./launchers.ts";

const isRoot = process.getuid?.() === 0;
const userId = 1_879_100_000 + (process.pid % 10_000);

/** What a program in the jail can do, found out by a shell in QEMU's place. */
describe("the jail, from the inside", { skip: isRoot ? false : "needs root" }, () => {
  let temporary: TemporaryDirectory;
  let launchers: Launchers;
  before(async () => {
    temporary = await temporaryDirectory("isopod-vmm-test-");
    await mkdir(join(temporary.path, "other"));
    await writeFile(join(temporary.path, "other", "secret"), "secret");
    await mkdir(join(temporary.path, "own"));
    launchers = new Launchers(await launcherBinary(temporary.path), join(temporary.path, "own"));
  });
  after(async () => {
    launchers.close();
    await temporary[Symbol.asyncDispose]();
  });

  /** Runs a shell script and returns what it wrote to standard error, the only place it can write to. */
  async function inside(script: string, stderrBytes = 65_536, contents = ["handed over"]): Promise<string> {
    const held: { stderr?: Awaited<ReturnType<typeof open>> } = {};
    const plan = {
      type: "monitor" as const,
      program: "/usr/bin/busybox",
      arguments: ["sh", "-c", `exec >&2; ${script}`],
      environment: { NAME: "value" },
      userId,
      binds: [{ source: join(temporary.path, "other", "secret"), target: "shown" }],
      hasKvm: false,
      cgroups: [],
      stderrBytes,
      outOfMemoryScore: 500,
      descriptors: contents.map((content, index) => ({ number: 10 + index, type: "bytes" as const, content })),
    };
    const child = await launch(plan, {
      launchers,
      id: "jail-test",
      signal: undefined,
      record: async (pid) => {
        held.stderr = await open(`/proc/${pid}/fd/2`, "r");
      },
    });
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once("exit", resolve));
    const said = (await held.stderr?.readFile("latin1")) ?? "";
    await held.stderr?.close();
    assert.equal(said.length, stderrBytes);
    return said.replace(/\0+$/, "").trim();
  }

  it("shows nothing of the host but programs, libraries and what was handed over", async () => {
    assert.equal(await inside("busybox ls /"), "dev\netc\nlib\nlib64\nshown\nusr");
    assert.match(await inside(`busybox cat ${temporary.path}/other/secret`), /No such file/);
    assert.match(await inside(`busybox ls ${temporary.path}`), /No such file/);
    assert.equal(await inside("busybox cat /shown; busybox cat <&10"), "secrethanded over");
    assert.equal(await inside("echo $NAME $HOME"), "value");
  });

  it("lets nothing be written, mounted or made", async () => {
    for (const path of ["/x", "/dev/x", "/usr/x", "/shown"]) {
      assert.match(await inside(`echo x >${path}`), /Read-only file system|Permission denied/, path);
    }
    assert.match(await inside("busybox mount -t tmpfs x /usr"), /must be superuser|not permitted|Permission denied/i);
    assert.match(await inside("busybox mknod /dev/sda b 8 0"), /Read-only file system|not permitted/);
    assert.match(await inside("busybox chroot /usr /bin/busybox true"), /not permitted/);
  });

  it("can open no socket of any family", async () => {
    assert.match(await inside("busybox ip -o link"), /socket: Operation not permitted/);
    assert.match(await inside("busybox nc 127.0.0.1 1"), /not permitted/);
  });

  it("is a user without groups who cannot signal the host's processes", async () => {
    assert.equal(await inside("busybox id -u; busybox id -G"), `${userId}\n${userId}`);
    assert.match(await inside(`kill -0 ${process.pid}`), /not permitted/);
  });

  it("keeps no more of what is written to standard error than its bound", async () => {
    const said = await inside("busybox yes 0123456789 | busybox head -c 100000", 8192);
    assert.ok(said.length > 4000 && said.length <= 8192, String(said.length));
  });

  it("hands over as many files as disks may have", async () => {
    const contents = Array.from({ length: 302 }, (_, index) => `${index} `);
    const script =
      'for n in $(busybox seq 10 311); do busybox cat /proc/self/fd/$n 2>/dev/null || eval "busybox cat <&$n"; done';
    assert.equal(await inside(script, 65_536, contents), contents.join("").trim());
  });

  it("leaves no mount on the host", async () => {
    assert.doesNotMatch(await readFile("/proc/self/mounts", "utf8"), new RegExp(temporary.path));
  });
});
