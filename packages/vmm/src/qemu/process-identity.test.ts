import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { systemClock, systemErrorCode } from "@isopod/base";
import { endProcess, identifyProcess, isRunning } from "./process-identity.ts";

test("a process that ends by itself between the look at it and the signal is ended all the same", async (context) => {
  // Its parent is a shell that reaps it at once, so that the number is nobody's when the signal is sent.
  const shell = spawn("sh", ["-c", "sleep 1000 & echo $!; wait; read line"], { stdio: ["pipe", "pipe", "ignore"] });
  const ended = once(shell, "exit");
  const [line] = await once(shell.stdout, "data");
  const pid = Number(String(line));
  const identity = await identifyProcess(pid);
  assert.ok(identity !== undefined);
  const kill = process.kill.bind(process);
  const killing = context.mock.method(process, "kill", (target: number, signal?: string | number) => {
    kill(target, "SIGKILL");
    while (existsSync(`/proc/${target}`)) execFileSync("sleep", ["0.01"]);
    return kill(target, signal);
  });
  await endProcess(identity, systemClock);
  assert.equal(killing.mock.callCount(), 1);
  assert.equal(systemErrorCode(killing.mock.calls[0]?.error), "ESRCH");
  shell.stdin.end();
  await ended;
});

test("a process whose first thread has ended runs, and ends, as its others do", async () => {
  const program = `
import ctypes, threading, time
threading.Thread(target=lambda: (time.sleep(0.2), print("alone", flush=True), time.sleep(1000))).start()
ctypes.CDLL(None).pthread_exit(None)`;
  const child = spawn("python3", ["-c", program], { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  const identity = await identifyProcess(child.pid ?? 0);
  assert.ok(identity !== undefined);
  assert.equal(await isRunning(identity), true);
  await endProcess(identity, systemClock);
  assert.equal(await isRunning(identity), false);
  await ended;
});
