import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { privateBytes, privateBytesOf, processTree, translationCacheBytes } from "./process-memory.ts";

const mapping = (range: string, permissions: string, inode: number, cleanKiB: number, dirtyKiB: number): string =>
  `${range} ${permissions} 00000000 00:00 ${inode} \nSize:  9999 kB\nRss:  777 kB\nShared_Clean:  50 kB\n` +
  `Private_Clean:  ${cleanKiB} kB\nPrivate_Dirty:  ${dirtyKiB} kB\nVmFlags: rd wr\n`;

const smaps = [
  mapping("7f0000000000-7f0001000000", "rw-p", 0, 0, 1000),
  mapping("7f1000000000-7f1002000000", "rwxp", 0, 0, 300),
  mapping("7f1003000000-7f1004000000", "rwxp", 0, 1, 400),
  mapping("55d000000000-55d000100000", "r-xp", 4711, 60, 0),
  mapping("55d000200000-55d000300000", "rwxp", 4712, 0, 5),
].join("");

test("private memory is what is private of every mapping, clean or dirty", () => {
  assert.equal(privateBytes(smaps), (1000 + 300 + 401 + 60 + 5) * 1024);
});

test("translated code is what is private of anonymous mappings that are written and executed", () => {
  assert.equal(translationCacheBytes(smaps), (300 + 401) * 1024);
  assert.equal(translationCacheBytes(mapping("7f0000000000-7f0001000000", "rw-p", 0, 0, 1000)), undefined);
});

test("a process tree has the children of children, and its memory can be read", async () => {
  const parent = spawn("sh", ["-c", "sleep 600 & echo $!; wait"], { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(parent, "exit");
  const child = Number(String(await once(parent.stdout, "data").then(([chunk]) => chunk as Buffer)));
  try {
    assert.deepEqual(await processTree(parent.pid ?? 0), [parent.pid, child]);
    assert.deepEqual(
      (await processTree(process.pid)).filter((pid) => pid === child),
      [child],
    );
    assert.ok((await privateBytesOf([parent.pid ?? 0, child])) > 4096);
  } finally {
    process.kill(child, "SIGKILL");
    parent.kill("SIGKILL");
    await ended;
  }
});
