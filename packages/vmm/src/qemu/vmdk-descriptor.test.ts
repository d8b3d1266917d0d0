import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { vmdkDescriptor } from "./vmdk-descriptor.ts";

it("makes one disk of whole files laid end to end, as qemu-img reads it", async () => {
  await using directory = await temporaryDirectory();
  const sizes = [4096, 8192, 512, 1024 * 1024];
  const extents = sizes.map((sizeBytes, index) => ({ path: join(directory.path, `part ${index}`), sizeBytes }));
  const contents = sizes.map((sizeBytes, index) => Buffer.alloc(sizeBytes, `${index}-content `));
  for (const [index, extent] of extents.entries()) await writeFile(extent.path, contents[index] ?? "");
  const descriptor = join(directory.path, "disk.vmdk");
  const raw = join(directory.path, "disk.raw");
  await writeFile(descriptor, vmdkDescriptor(extents));
  await runCommand("qemu-img", ["convert", "-f", "vmdk", "-O", "raw", descriptor, raw]);
  assert.ok((await readFile(raw)).equals(Buffer.concat(contents)));
});
