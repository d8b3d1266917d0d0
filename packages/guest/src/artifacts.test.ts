import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { guestArtifacts } from "./artifacts.ts";

const repository = join(import.meta.dirname, "..", "..", "..");
const dist = join(import.meta.dirname, "..", "dist");

async function inputsOf(manifest: string): Promise<ReadonlyMap<string, string>> {
  const parsed = JSON.parse(await readFile(join(dist, manifest), "utf8"));
  return new Map(Object.entries(parsed.inputs));
}

async function sha256(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

for (const [manifest, rebuild] of [
  ["kernel.json", "packages/guest/kernel/build"],
  ["agent.json", "packages/guest/agent/build"],
] as const) {
  test(`dist was built from the inputs that ${manifest} lists`, async () => {
    for (const [path, digest] of await inputsOf(manifest)) {
      const now = await sha256(join(repository, path)).catch(() => "missing");
      assert.equal(now, digest, `${path} changed after dist was built: run ${rebuild}`);
    }
  });
}

test("every source file of the agent is an input of its manifest", async () => {
  const inputs = await inputsOf("agent.json");
  const sources = join(import.meta.dirname, "..", "agent", "src");
  for (const entry of await readdir(sources, { recursive: true })) {
    if (!entry.endsWith(".rs")) continue;
    const path = `packages/guest/agent/src/${entry}`;
    assert.ok(inputs.has(path), `${path} is not in agent.json: run packages/guest/agent/build`);
  }
});

test("artifacts are unpacked once, side by side, and again when they were damaged", async () => {
  await using directory = await temporaryDirectory();
  const cache = join(directory.path, "cache");
  const [first, second] = await Promise.all([guestArtifacts(cache), guestArtifacts(cache)]);
  assert.deepEqual(first, second);
  assert.equal((await readdir(cache)).length, 2);
  const before = await stat(first.kernelPath);
  assert.deepEqual(await guestArtifacts(cache), first);
  assert.equal((await stat(first.kernelPath)).ino, before.ino);
  await writeFile(first.initramfsPath, "damaged");
  await guestArtifacts(cache);
  assert.ok((await stat(first.initramfsPath)).size > 100_000);
});

test("damaged and missing artifacts are told apart", async () => {
  await using directory = await temporaryDirectory();
  const cache = join(directory.path, "cache");
  const copy = join(directory.path, "dist");
  await assert.rejects(guestArtifacts(cache, copy), { code: "MissingArtifact" });
  await cp(dist, copy, { recursive: true });
  await writeFile(join(copy, "agent.cpio.zst"), "damaged");
  await assert.rejects(guestArtifacts(cache, copy), { code: "DamagedArtifact" });
});
