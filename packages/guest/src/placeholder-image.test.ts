import assert from "node:assert/strict";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { placeholderImage } from "./placeholder-image.ts";

test("the placeholder is a valid image without a file, also at the start of a larger disk", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "image");
  await writeFile(path, placeholderImage());
  for (const sizeBytes of [4096, 2 ** 40]) {
    await truncate(path, sizeBytes);
    await runCommand("fsck.erofs", [path]);
    const { stdout } = await runCommand("dump.erofs", ["-s", path]);
    assert.match(stdout, /Filesystem blocks:\s+1\n/);
    const { stdout: root } = await runCommand("dump.erofs", ["--ls", "--path=/", path]);
    assert.equal(root.match(/^\s*36\s+2\s+\.\.?$/gm)?.length, 2, root);
  }
});
