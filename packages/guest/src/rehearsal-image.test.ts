import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { placeholderImage } from "./placeholder-image.ts";
import { rehearsalImage } from "./rehearsal-image.ts";
import { rehearsalChild, rehearsalLoader, rehearsalProgram } from "./rehearsal-program.ts";

test("the rehearsal image is a valid image with its programs behind links, and no placeholder", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "image");
  await writeFile(path, rehearsalImage());
  await runCommand("fsck.erofs", [`--extract=${directory.path}/tree`, path]);
  const { stdout } = await runCommand("find", [`${directory.path}/tree`, "-printf", "%y %P -> %l\n"]);
  const links = stdout.split("\n").filter((line) => line.startsWith("l"));
  assert.deepEqual(links.toSorted(), ["l bin -> usr/bin", "l usr/bin/sh -> /usr/bin/rehearsal"]);
  for (const [name, bytes] of [
    ["usr/bin/rehearsal", rehearsalProgram()],
    ["usr/bin/true", rehearsalChild()],
    ["lib/ld-rehearsal.so", rehearsalLoader()],
  ] as const) {
    await writeFile(join(directory.path, "expected"), bytes);
    await runCommand("cmp", [join(directory.path, "tree", name), join(directory.path, "expected")]);
    await runCommand("readelf", ["--all", "--wide", join(directory.path, "expected")]);
  }
  assert.notDeepEqual(rehearsalImage().subarray(0, 4096), placeholderImage());
  assert.deepEqual(rehearsalImage(), rehearsalImage());
});
