import assert from "node:assert/strict";
import { test } from "node:test";
import { runAll } from "./run-all.ts";

test("every step is run in turn, and the first failure is told at the end", async () => {
  const done: string[] = [];
  const step = (name: string, isFailing = false) => {
    return async () => {
      done.push(name);
      if (isFailing) throw new Error(`${name} failed`);
    };
  };
  await assert.rejects(runAll([step("one"), step("two", true), step("three", true), step("four")]), /two failed/);
  assert.deepEqual(done, ["one", "two", "three", "four"]);
  await runAll([step("five")]);
});
