import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { eventually } from "../harness/eventually.ts";
import { leftovers, repositoryRoot } from "../harness/leftovers.ts";
import { runProgram } from "../harness/program.ts";
import { freePort } from "../harness/registry.ts";

test("./quickstart shows an instance's output, start time and price, and may be run twice", async () => {
  await using directory = await temporaryDirectory("isopod-e2e-");
  const dataDirectory = join(directory.path, "data");
  const env = { ...process.env, ISOPOD_REGISTRY_PORT: String(await freePort()) };
  const quickstart = async () =>
    await runProgram(
      join(repositoryRoot, "quickstart"),
      ["--data-dir", dataDirectory, "--port", "0", "--kubelet-port", "0"],
      { env, timeoutMs: 300_000 },
    );
  try {
    for (const round of ["first", "second"]) {
      const { exitCode, stdout, stderr } = await quickstart();
      assert.equal(exitCode, 0, `${round}: ${stdout}\n${stderr}`);
      assert.match(stdout, /Hello from busybox-\w+, a microVM of its own: Linux 6\.1\.\d+-isopod, 1 vCPU/);
      assert.match(stderr, /^boot +\d/m);
      assert.match(stdout, /^total \d+ s, 0\.\d{6} USD$/m);
      assert.match(stdout, /^hour +0\.\d{6} +0\.\d{6} +USD$/m);
    }
  } finally {
    await runProgram(join(repositoryRoot, "bin", "isopod"), ["down", "--data-dir", dataDirectory]);
    const registry = Number(await readFile(join(dataDirectory, "registry", "pid"), "utf8").catch(() => "0"));
    if (registry > 0) process.kill(registry);
  }
  let left: readonly string[] = [];
  await eventually(
    "nothing is left on the host",
    async () => {
      left = await leftovers(directory.path, dataDirectory, new Set());
      return left.length === 0;
    },
    () => left,
  );
});
