import assert from "node:assert/strict";
import { test } from "node:test";
import type { MachineExit } from "@isopod/vmm";
import { lastWords } from "./last-words.ts";

const exit = (fields: Partial<MachineExit>): MachineExit => ({
  exitCode: undefined,
  signal: undefined,
  isExpected: false,
  stderrTail: "",
  consoleTail: "",
  ...fields,
});

test("the monitor's words come first, then the console's, on one line without its colours", () => {
  assert.equal(lastWords(exit({ stderrTail: "qemu: no\n", consoleTail: "kernel" })), "qemu: no");
  assert.equal(lastWords(exit({ consoleTail: "\u001b[31mpanic\u001b[0m:\r\n  dead\u0007" })), "panic: dead");
  assert.equal(lastWords(exit({ signal: "SIGKILL" })), "killed by SIGKILL");
  assert.equal(lastWords(exit({})), "it left no last words");
});

test("of a long console only the end is told", () => {
  const told = lastWords(exit({ consoleTail: `${"x".repeat(4000)} the end` }));
  assert.ok(told.length <= 501);
  assert.match(told, /^…x+ the end$/);
});
