import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pipeline } from "node:stream/promises";
import { runCommand, silentLogger, temporaryDirectory } from "@isopod/base";
import { createScratchDisks, type ScratchDisk, VolumeError } from "./index.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

/** As QEMU is given the disk: the backing file is named by whoever opens it. */
function blockdev(disk: ScratchDisk): string {
  return `json:${JSON.stringify({
    driver: "qcow2",
    file: { driver: "file", filename: disk.path },
    backing: { driver: "raw", file: { driver: "file", filename: disk.backingPath } },
  })}`;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

const hasCode = (code: string) => (error: unknown) => {
  assert.ok(error instanceof VolumeError, String(error));
  assert.equal(error.code, code);
  assert.equal(error.stage, "scratch");
  return true;
};

test("a disk is a sound qcow2 of exactly the size sold, and reads as its template", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: join(directory.path, "templates"), logger: silentLogger });
  for (const sizeBytes of [16 * mebibyte, 17 * mebibyte, gibibyte, 20 * gibibyte]) {
    const disk = await disks.create(join(directory.path, `${sizeBytes}.qcow2`), sizeBytes, 0);
    assert.equal(disk.sizeBytes, sizeBytes);
    const check = JSON.parse((await runCommand("qemu-img", ["check", "--output=json", disk.path])).stdout);
    assert.equal(check["check-errors"], 0);
    assert.equal(check.leaks ?? 0, 0);
    const info = JSON.parse((await runCommand("qemu-img", ["info", "--output=json", disk.path])).stdout);
    assert.equal(info["virtual-size"], sizeBytes);
    assert.equal(info["backing-filename"], undefined);
    assert.equal(info["format-specific"].data["extended-l2"], true);
    await runCommand("qemu-img", ["compare", "-F", "raw", blockdev(disk), disk.backingPath]);
  }
});

test("even the largest disk is a sound qcow2", async () => {
  await using directory = await temporaryDirectory();
  const { emptyQcow2 } = await import("./qcow2.ts");
  const path = join(directory.path, "large.qcow2");
  const image = emptyQcow2(16 * 1024 * gibibyte);
  const bytes = Buffer.alloc(image.fileSizeBytes);
  for (const extent of image.extents) bytes.set(extent.bytes, extent.offset);
  await writeFile(path, bytes);
  await runCommand("qemu-img", ["check", path]);
  const written = await runCommand("qemu-io", [
    "-f",
    "qcow2",
    "-c",
    `write -P 7 ${16 * 1024 * gibibyte - 4096} 4096`,
    "-c",
    `read -P 7 ${16 * 1024 * gibibyte - 4096} 4096`,
    path,
  ]);
  assert.doesNotMatch(written.stdout, /failed/i);
  await runCommand("qemu-img", ["check", path]);
});

test("what is written stays in the disk, beside what its template says, and costs no more than it must", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const disk = await disks.create(join(directory.path, "disk.qcow2"), 64 * mebibyte, 0);
  const before = await digestOf(disk.backingPath);
  assert.ok((await stat(disk.path)).blocks * 512 <= 64 * 1024);
  const writes = Array.from({ length: 32 }, (_, index) => ["-c", `write -P 9 ${index}M 4096`]).flat();
  const { stdout } = await runCommand("qemu-io", [
    ...writes,
    "-c",
    "read -P 9 0 4096",
    "-c",
    `read -P 0 ${64 * mebibyte - 4096} 4096`,
    blockdev(disk),
  ]);
  assert.doesNotMatch(stdout, /failed/i);
  await runCommand("qemu-img", ["check", disk.path]);
  assert.equal(await digestOf(disk.backingPath), before);
  // 32 scattered blocks of 4 KiB and their tables: whole clusters would take 4 MiB.
  assert.ok((await stat(disk.path)).blocks * 512 < mebibyte, String((await stat(disk.path)).blocks * 512));
});

test("a disk cannot hold more than was sold", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const disk = await disks.create(join(directory.path, "disk.qcow2"), 16 * mebibyte, 0);
  const beyond = runCommand("qemu-io", ["-c", `write ${16 * mebibyte} 4096`, blockdev(disk)]);
  const outcome = await beyond.then(({ stdout, stderr }) => stdout + stderr, String);
  assert.match(outcome, /failed|ended with code/i);
});

test("a template is a clean ext4 without journal, whose inode tables the guest need not zero", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const { backingPath } = await disks.create(join(directory.path, "disk.qcow2"), 20 * gibibyte, 0);
  await runCommand("e2fsck", ["-f", "-n", backingPath]);
  const { stdout } = await runCommand("dumpe2fs", [backingPath]);
  assert.doesNotMatch(stdout, /has_journal/);
  assert.match(stdout, /Block count:\s+5242880\n/);
  assert.match(stdout, /Reserved block count:\s+0\n/);
  const groups = stdout.match(/^Group \d+:.*$/gm) ?? [];
  assert.equal(groups.length, 160);
  assert.ok(groups.every((group) => group.includes("ITABLE_ZEROED")));
  // 316 KiB measured: a template costs next to nothing on the host.
  assert.ok((await stat(backingPath)).blocks * 512 < mebibyte);
});

test("equal sizes give equal templates, whenever and wherever they are made", async () => {
  await using one = await temporaryDirectory();
  await using two = await temporaryDirectory();
  const digests: string[] = [];
  for (const { path } of [one, two]) {
    const disks = createScratchDisks({ directory: path, logger: silentLogger });
    const { backingPath } = await disks.create(join(path, "disk.qcow2"), 64 * mebibyte, 0);
    digests.push(await digestOf(backingPath));
    // File systems keep times in seconds: the second template is made in another one.
    await new Promise((resolve) => setTimeout(resolve, 1100));
  }
  assert.equal(digests[0], digests[1]);
});

test("a template is made once, however many disks are asked for at once, and never written by the host's users", async () => {
  await using directory = await temporaryDirectory();
  const templates = join(directory.path, "templates");
  const disks = createScratchDisks({ directory: templates, logger: silentLogger });
  const made = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      return await disks.create(join(directory.path, `${index}.qcow2`), gibibyte, 200_000 + index);
    }),
  );
  const names = await readdir(templates);
  assert.equal(names.length, 1);
  assert.equal((await stat(join(templates, names[0] ?? ""))).mode & 0o777, 0o444);
  const inode = (await stat(join(templates, names[0] ?? ""))).ino;
  for (const [index, disk] of made.entries()) {
    const { mode, uid, gid } = await stat(disk.path);
    assert.deepEqual([mode & 0o777, uid, gid], [0o600, 200_000 + index, 200_000 + index]);
  }
  await createScratchDisks({ directory: templates, logger: silentLogger }).create(made[0]?.path ?? "", gibibyte, 0);
  assert.equal((await stat(join(templates, names[0] ?? ""))).ino, inode);
});

test("a disk made where one was before is empty again", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const path = join(directory.path, "disk.qcow2");
  const disk = await disks.create(path, 64 * mebibyte, 0);
  const fresh = await readFile(path);
  await runCommand("qemu-io", ["-c", "write -P 9 1M 1M", blockdev(disk)]);
  assert.notDeepEqual(await readFile(path), fresh);
  await disks.create(path, 64 * mebibyte, 0);
  assert.deepEqual(await readFile(path), fresh);
});

test("what a process left that died over a template is removed, and a template cut short is made again", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const path = join(directory.path, "disk.qcow2");
  const { backingPath } = await disks.create(path, 64 * mebibyte, 0);
  const whole = await digestOf(backingPath);
  await runCommand("truncate", ["-s", "1M", backingPath]);
  // No process has the largest pid plus one.
  await writeFile(`${backingPath}.4194305-abcd.tmp`, "half");
  await disks.create(path, 64 * mebibyte, 0);
  assert.equal(await digestOf(backingPath), whole);
  assert.deepEqual(
    (await readdir(directory.path)).filter((name) => name.endsWith(".tmp")),
    [],
  );
});

test("sizes that are not sold are refused", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const path = join(directory.path, "disk.qcow2");
  for (const sizeBytes of [0, -1, Number.NaN, 15 * mebibyte, 16 * mebibyte + 512, 2 ** 45]) {
    await assert.rejects(disks.create(path, sizeBytes, 0), hasCode("InvalidSize"), String(sizeBytes));
  }
  assert.deepEqual(await readdir(directory.path), []);
});

test("a full disk is told as such, for the template and for the disk, and leaves nothing half-made", async () => {
  await using directory = await temporaryDirectory();
  const small = join(directory.path, "small");
  await mkdir(small);
  await runCommand("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]);
  try {
    const inSmall = createScratchDisks({ directory: small, logger: silentLogger });
    await assert.rejects(inSmall.create(join(directory.path, "disk.qcow2"), gibibyte, 0), hasCode("NoSpace"));
    assert.deepEqual(await readdir(small), []);

    const elsewhere = createScratchDisks({ directory: join(directory.path, "templates"), logger: silentLogger });
    await writeFile(join(small, "filler"), Buffer.alloc(60 * 1024));
    await assert.rejects(elsewhere.create(join(small, "disk.qcow2"), gibibyte, 0), hasCode("NoSpace"));
    assert.deepEqual(await readdir(small), ["filler"]);
  } finally {
    await runCommand("umount", [small]);
  }
});

test("an aborted call makes no disk", async () => {
  await using directory = await temporaryDirectory();
  const disks = createScratchDisks({ directory: directory.path, logger: silentLogger });
  const signal = AbortSignal.abort(new Error("not wanted any more"));
  await assert.rejects(disks.create(join(directory.path, "disk.qcow2"), gibibyte, 0, signal), /not wanted/);
  assert.deepEqual(await readdir(directory.path), []);
});
