import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  backoffDelayMs,
  CommandError,
  type Clock,
  describeError,
  IsopodError,
  retry,
  runCommand,
  systemErrorCode,
  temporaryDirectory,
  writeFileAtomically,
} from "./index.ts";

function instantClock(slept: number[]): Clock {
  return {
    nowMs: () => 0,
    nowMicros: () => 0n,
    monotonicMs: () => 0,
    sleep: async (durationMs) => {
      slept.push(durationMs);
    },
  };
}

test("back-off doubles up to its maximum", () => {
  const delays = [0, 1, 2, 3, 500].map((attempt) => backoffDelayMs(attempt, { initialMs: 10, maxMs: 50 }));
  assert.deepEqual(delays, [10, 20, 40, 50, 50]);
});

test("retry stops at the first success and hands on the last error", async () => {
  const slept: number[] = [];
  const clock = instantClock(slept);
  let calls = 0;
  const answer = await retry(
    async () => {
      calls += 1;
      if (calls < 3) throw new Error("not yet");
      return calls;
    },
    { clock, initialMs: 1, maxMs: 10 },
  );
  assert.equal(answer, 3);
  assert.deepEqual(slept, [1, 2]);
  const failing = retry(async (attempt) => await Promise.reject(new Error(`try ${attempt}`)), {
    clock,
    initialMs: 1,
    maxMs: 1,
    attempts: 2,
  });
  await assert.rejects(failing, /try 1/);
});

test("retry gives up at once on an error that is not retryable", async () => {
  let calls = 0;
  const failing = retry(
    async () => {
      calls += 1;
      throw new Error("final");
    },
    { clock: instantClock([]), initialMs: 1, maxMs: 1, isRetryable: () => false },
  );
  await assert.rejects(failing, /final/);
  assert.equal(calls, 1);
});

test("a missing program is named with the Debian package that has it", async () => {
  const failing = runCommand("qemu-img", [], { env: { PATH: "/nonexistent" } });
  await assert.rejects(failing, (error) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.code, "MissingProgram");
    assert.match(error.remedy ?? "", /apt-get install qemu-utils/);
    return true;
  });
});

test("a failing program's own words and exit code reach the caller", async () => {
  await assert.rejects(runCommand("sh", ["-c", "echo no such luck >&2; exit 3"]), (error) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.exitCode, 3);
    assert.match(error.message, /no such luck/);
    return true;
  });
});

test("a program that floods its output is stopped", async () => {
  await assert.rejects(runCommand("yes", [], { maxOutputBytes: 1 << 20 }), CommandError);
});

test("an atomic write leaves the new content and no temporary file", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  await writeFileAtomically(path, "one");
  await writeFileAtomically(path, "two");
  assert.equal(await readFile(path, "utf8"), "two");
  assert.deepEqual(await readdir(directory.path), ["file"]);
  await assert.rejects(writeFileAtomically(join(directory.path, "absent", "file"), ""), (error) => {
    return systemErrorCode(error) === "ENOENT";
  });
});

test("an error is described with its causes, each once", () => {
  const cause = new Error("connection refused");
  const error = new IsopodError("cannot pull x", { code: "Unreachable", stage: "pull", cause });
  assert.equal(describeError(error), "cannot pull x: connection refused");
  assert.equal(describeError(new Error("a: b", { cause: new Error("b") })), "a: b");
});
