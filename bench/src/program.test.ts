import assert from "node:assert/strict";
import { test } from "node:test";
import { isInstalled, ProgramError, run } from "./program.ts";

test("a program gives its output, and one that fails all that it wrote", async () => {
  assert.equal(await run("sh", ["-c", "echo out"]), "out\n");
  await assert.rejects(run("sh", ["-c", "echo out; echo why >&2; exit 3"]), (error) => {
    assert.ok(error instanceof ProgramError);
    assert.match(error.message, /ended with code 3: why/);
    assert.deepEqual([error.stdout, error.stderr], ["out\n", "why\n"]);
    return true;
  });
});

test("a program is in a session of its own, where the terminal's Ctrl-C does not reach it", async () => {
  const [pid, , , , , session] = (await run("sh", ["-c", "exec cat /proc/self/stat"]))
    .replace(/\(.*\)/, "x")
    .split(" ");
  assert.equal(session, pid);
});

test("a program ends when it is no longer wanted", async () => {
  const stop = new AbortController();
  const running = run("sleep", ["600"], { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(running, { name: "AbortError" });
});

test("what is not installed is told apart", async () => {
  assert.equal(await isInstalled("sh"), true);
  assert.equal(await isInstalled("no-such-program-of-isopod"), false);
});
