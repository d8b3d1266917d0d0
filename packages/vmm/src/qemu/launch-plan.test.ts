import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { failureOf } from "./launch.ts";
import { encodeLaunchPlan, type MonitorPlan } from "./launch-plan.ts";
import { launcherBinary } from "./launcher-binary.ts";

const plan: MonitorPlan = {
  type: "monitor",
  program: "/usr/bin/true",
  arguments: ["a b", ""],
  environment: { LC_ALL: "C" },
  userId: 7,
  binds: [{ source: "/k", target: "kernel" }],
  hasKvm: false,
  cgroups: ["/c"],
  stderrBytes: 1,
  outOfMemoryScore: 5,
  descriptors: [{ number: 10, type: "listen", path: "/s" }],
};

async function answerTo(bytes: string): Promise<string> {
  await using directory = await temporaryDirectory();
  const child = spawn(await launcherBinary(directory.path), ["jail", directory.path], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const control = child.stdio[3];
  assert.ok(control instanceof Duplex);
  control.on("error", () => {});
  control.end(bytes);
  let answer = "";
  for await (const chunk of control) answer += String(chunk);
  return answer;
}

describe("a launch plan", () => {
  it("is a sequence of NUL-terminated fields up to end", () => {
    const fields = encodeLaunchPlan(plan).split("\0");
    assert.deepEqual(fields.slice(0, 8), [
      "program",
      "/usr/bin/true",
      "argument",
      "a b",
      "argument",
      "",
      "environment",
      "LC_ALL",
    ]);
    assert.deepEqual(fields.slice(-5), ["listen", "10", "/s", "end", ""]);
  });

  it("cannot smuggle a directive in a value", () => {
    assert.throws(() => encodeLaunchPlan({ ...plan, program: "/x\0user\x000" }), RangeError);
  });

  it("is refused by the launcher when it is not one, by name of the step", async () => {
    assert.match(await answerTo("nonsense\0end\0"), /^error read-plan 0 unknown directive nonsense\n$/);
    assert.match(await answerTo(encodeLaunchPlan({ ...plan, userId: 0 })), /^error read-plan 0 .*not be root.*\n$/);
    assert.match(await answerTo("program\0/x\0"), /^error read-plan 0 .*before its end/);
  });
});

describe("a launcher's failure", () => {
  it("becomes an error with a code by step and by what the system said", () => {
    assert.equal(failureOf("error open-file 2 /disk: No such file\n", "m").code, "DiskUnavailable");
    assert.equal(failureOf("error find-tap 19 tap0: No such device\n", "m").code, "TapUnavailable");
    assert.equal(failureOf("error mount-root 28 tmpfs: No space left\n", "m").code, "NoSpace");
    assert.equal(failureOf("error mount-root 1 tmpfs: Not permitted\n", "m").code, "LaunchFailed");
    assert.match(failureOf("", "m").message, /without saying why/);
  });
});
