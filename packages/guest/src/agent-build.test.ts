import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { runCommand, temporaryDirectory } from "@isopod/base";
import { connectGuest } from "./connect.ts";
import { runScript } from "./testing/run-container.ts";
import { TestMachine, testConfiguration } from "./testing/test-machine.ts";

const agent = join(import.meta.dirname, "..", "agent");
const dist = join(import.meta.dirname, "..", "dist");

/** Edition 2024. */
const oldestCargo = 85;

async function whyNotBuilt(): Promise<string | false> {
  try {
    const { stdout } = await runCommand("cargo", ["--version"]);
    const minor = Number(/^cargo 1\.(\d+)\./.exec(stdout)?.[1] ?? 0);
    return minor >= oldestCargo ? false : `cargo 1.${oldestCargo} or later is needed, this is ${stdout.trim()}`;
  } catch {
    return "there is no cargo";
  }
}

async function manifest(directory: string): Promise<{ readonly rustc: string; readonly sha256: string }> {
  const parsed = JSON.parse(await readFile(join(directory, "agent.json"), "utf8"));
  return { rustc: parsed.source.rustc, sha256: parsed.outputs["agent.cpio"].sha256 };
}

const skip = await whyNotBuilt();

test("the agent's own tests pass", { skip }, async () => {
  const target = join(
    process.env["ISOPOD_CACHE_DIR"] ?? join(process.env["HOME"] ?? "/root", ".cache/isopod"),
    "agent/tests",
  );
  const options = { cwd: agent, env: { CARGO_TARGET_DIR: target } };
  await runCommand("nice", ["-n", "5", "cargo", "test", "--locked", "--quiet", "-j2"], options);
});

test("a freshly built agent works, and is the one in dist when the compiler is the same", { skip }, async () => {
  await using directory = await temporaryDirectory();
  await runCommand(join(agent, "build"), ["--into", directory.path]);
  const [built, shipped] = [await manifest(directory.path), await manifest(dist)];
  if (built.rustc === shipped.rustc) assert.equal(built.sha256, shipped.sha256);
  const initramfsPath = join(directory.path, "agent.cpio");
  const packed = await readFile(join(directory.path, "agent.cpio.zst"));
  await writeFile(initramfsPath, await promisify(zstdDecompress)(packed));
  await using machine = await TestMachine.boot({ initramfsPath });
  await using client = await connectGuest({ socketPath: machine.socketPath, timeoutMs: 120_000 });
  await client.configure(testConfiguration);
  assert.equal((await runScript(client, "echo hello")).stdout, "hello\n");
});
