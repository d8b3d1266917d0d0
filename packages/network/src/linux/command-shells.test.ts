import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { CommandError } from "@isopod/base";
import { CommandShells } from "./command-shells.ts";

test("a program gets its arguments and its input as they are, and its output comes back so", async () => {
  const { run } = new CommandShells();
  const words = ["it's", "a b", "$HOME", "`x`", "", "*", "\\", "two\nlines"];
  const { stdout } = await run("printf", ["%s|", ...words]);
  assert.equal(stdout, words.map((word) => `${word}|`).join(""));
  const input = `$(exit 3) 'x' \\ EOF\n${"0123456789abcdef".repeat(20_000)}\n`;
  assert.equal((await run("cat", [], { input })).stdout, input);
  assert.equal((await run("cat", [])).stdout, "");
});

test("a failure carries the program's exit code and its own words, and the next is not troubled by it", async () => {
  const { run } = new CommandShells();
  await assert.rejects(run("sh", ["-c", "echo some; echo why >&2; exit 3"]), (error) => {
    assert.ok(error instanceof CommandError);
    assert.deepEqual([error.code, error.exitCode, error.stderr], ["CommandFailed", 3, "why"]);
    return true;
  });
  await assert.rejects(run("isopod-no-such-program", []), (error) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.code, "MissingProgram");
    return true;
  });
  assert.equal((await run("echo", ["fine"])).stdout, "fine\n");
});

test("forty programs at once each have their own output", async () => {
  const { run } = new CommandShells();
  const outputs = await Promise.all(
    Array.from({ length: 40 }, async (_, index) => (await run("seq", [`${index}`, `${index + 2000}`])).stdout),
  );
  for (const [index, output] of outputs.entries()) {
    assert.equal(output, Array.from({ length: 2001 }, (_, line) => `${index + line}\n`).join(""));
  }
});

test("a shell that is killed fails its program, and the next gets another shell", async () => {
  const { run } = new CommandShells();
  await assert.rejects(run("sh", ["-c", "kill -9 $PPID; sleep 1"]), CommandError);
  assert.equal((await run("echo", ["fine"])).stdout, "fine\n");
});

test("a process ends although its shells wait for work", () => {
  const script = `
    import { CommandShells } from ${JSON.stringify(import.meta.resolve("./command-shells.ts"))};
    const { run } = new CommandShells();
    console.log((await run("echo", ["done"])).stdout);`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(output.trim(), "done");
});
