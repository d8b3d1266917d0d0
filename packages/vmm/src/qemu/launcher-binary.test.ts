import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { launcherInputs } from "../launcher-inputs.ts";
import { launcherBinary } from "./launcher-binary.ts";

describe("the committed launcher", () => {
  it("is built from the sources beside it", async () => {
    const manifest = JSON.parse(await readFile(new URL("../../dist/launcher.json", import.meta.url), "utf8"));
    assert.deepEqual(manifest.inputs, launcherInputs(), "run packages/vmm/launcher/build and commit dist");
  });

  it("is unpacked once, and again when the unpacked file was damaged", async () => {
    await using directory = await temporaryDirectory();
    const cache = join(directory.path, "cache");
    const path = await launcherBinary(cache);
    const before = await stat(path);
    assert.equal(before.mode & 0o777, 0o755);
    assert.equal(await launcherBinary(cache), path);
    assert.equal((await stat(path)).ino, before.ino);
    await writeFile(path, "damaged");
    await Promise.all([launcherBinary(cache), launcherBinary(cache)]);
    assert.equal((await stat(path)).size, before.size);
  });
});
