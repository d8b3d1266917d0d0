import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { vmdkDescriptor } from "./vmdk-descriptor.ts";

test("QEMU reads the descriptor as the files one after another", async () => {
  await using directory = await temporaryDirectory();
  const contents = [4096, 8192, 409_600].map((sizeBytes) => randomBytes(sizeBytes));
  const parts = contents.map((content, index) => ({
    path: join(directory.path, `part ${index}`),
    sizeBytes: content.length,
  }));
  for (const [index, part] of parts.entries()) await writeFile(part.path, contents[index] ?? "");
  const disk = join(directory.path, "disk.vmdk");
  await writeFile(disk, vmdkDescriptor(parts));
  const info: unknown = JSON.parse((await runCommand("qemu-img", ["info", "--output=json", disk])).stdout);
  assert.equal(typeof info === "object" && info !== null && "virtual-size" in info && info["virtual-size"], 421_888);
  await runCommand("qemu-img", ["convert", "-f", "vmdk", "-O", "raw", disk, join(directory.path, "raw")]);
  assert.deepEqual(await readFile(join(directory.path, "raw")), Buffer.concat(contents));
});

test("extents beyond 4 GiB and paths chosen by the caller work", async () => {
  await using directory = await temporaryDirectory();
  const sizeBytes = 5 * 1024 ** 3;
  const file = await open(join(directory.path, "big"), "w");
  await file.truncate(sizeBytes);
  await file.write("end", sizeBytes - 512);
  await file.close();
  const parts = [
    { path: "/elsewhere/big", sizeBytes },
    { path: "/elsewhere/big", sizeBytes },
  ];
  const disk = join(directory.path, "disk.vmdk");
  await writeFile(
    disk,
    vmdkDescriptor(parts, () => "big"),
  );
  const read = ["-r", "-f", "vmdk", "-c", `read -v ${2 * sizeBytes - 512} 16`, disk];
  assert.match((await runCommand("qemu-io", read)).stdout, /65 6e 64 00/);
});

test("what the format cannot hold is refused", () => {
  assert.throws(() => vmdkDescriptor([{ path: 'a"b', sizeBytes: 4096 }]), RangeError);
  assert.throws(() => vmdkDescriptor([{ path: "x".repeat(512), sizeBytes: 4096 }]), RangeError);
  assert.throws(() => vmdkDescriptor([{ path: "a", sizeBytes: 1000 }]), RangeError);
  assert.throws(() => vmdkDescriptor([{ path: "a", sizeBytes: 0 }]), RangeError);
});
