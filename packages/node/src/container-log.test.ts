import assert from "node:assert/strict";
import { appendFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { ContainerLog, formatMicros, pruneAttempts, type ReadLogOptions } from "./container-log.ts";

const at = 1_767_323_045_000_006;

async function text(log: ContainerLog, options: ReadLogOptions = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of log.read(options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("what was written comes back byte for byte, whatever the cuts", async () => {
  await using directory = await temporaryDirectory();
  const log = await ContainerLog.open(directory.path, 0);
  const all = "one\ntwo\n\nthree no end\tü";
  let offset = 0;
  for (const piece of [all.slice(0, 2), all.slice(2, 9), all.slice(9)]) {
    offset += Buffer.byteLength(piece);
    await log.append("stdout", Buffer.from(piece), at, offset);
  }
  await log.close();
  assert.equal(await text(log), all);
  assert.equal(await text(await ContainerLog.openFinished(directory.path, 0)), all);
});

test("tail, since, limit, streams and timestamps select as kubectl expects", async () => {
  await using directory = await temporaryDirectory();
  const log = await ContainerLog.open(directory.path, 0);
  await log.append("stdout", Buffer.from("a\nb\n"), at, 4);
  await log.append("stderr", Buffer.from("oops\n"), at + 2_000_000, 9);
  await log.append("stdout", Buffer.from("c\n"), at + 4_000_000, 11);
  await log.close();
  assert.equal(await text(log, { tailLines: 2 }), "oops\nc\n");
  assert.equal(await text(log, { tailLines: 0 }), "");
  assert.equal(await text(log, { sinceMs: at / 1000 + 1000 }), "oops\nc\n");
  assert.equal(await text(log, { limitBytes: 3 }), "a\nb");
  assert.equal(await text(log, { stream: "stdout" }), "a\nb\nc\n");
  assert.equal(await text(log, { tailLines: 1, hasTimestamps: true }), `${formatMicros(at + 4_000_000)} c\n`);
  assert.equal(formatMicros(at), "2026-01-02T03:04:05.000006Z");
});

test("a follower sees what comes later, across segments, and ends with the log", async () => {
  await using directory = await temporaryDirectory();
  const log = await ContainerLog.open(directory.path, 0, { segmentBytes: 200, segments: 3 });
  await log.append("stdout", Buffer.from("first\n"), at, 6);
  const followed = log.read({ isFollowing: true });
  const next = async (): Promise<string | undefined> => (await followed.next()).value?.toString();
  assert.equal(await next(), "first\n");
  for (let line = 0; line < 40; line++) {
    const record = `line ${line}\n`;
    // Before it is written, so that it has to be waited for; a follower slower than the rotation loses old segments.
    const seen = next();
    await log.append("stdout", Buffer.from(record), at, 6 + line);
    assert.equal(await seen, record);
  }
  const end = next();
  await log.close();
  assert.equal(await end, undefined);
  assert.equal((await readdir(directory.path)).length, 3);
});

test("a follower stops when its signal aborts", async () => {
  await using directory = await temporaryDirectory();
  const log = await ContainerLog.open(directory.path, 0);
  await log.append("stdout", Buffer.from("x\n"), at, 2);
  const stop = new AbortController();
  const followed = text(log, { isFollowing: true, signal: stop.signal });
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(followed, { name: "AbortError" });
  await log.close();
});

test("after a crash the log goes on at the offset of its last whole chunk", async () => {
  await using directory = await temporaryDirectory();
  const before = await ContainerLog.open(directory.path, 0);
  await before.append("stdout", Buffer.from("kept\n"), at, 5);
  await before.close();
  // A chunk of two lines of which only the first reached the disk, and half a record.
  await appendFile(join(directory.path, "0.0.log"), `${formatMicros(at)} stdout F - half\n${formatMicros(at)} std`);
  const after = await ContainerLog.open(directory.path, 0);
  assert.equal(after.nextOffset, 5);
  await after.append("stdout", Buffer.from("half\nwhole\n"), at, 16);
  await after.close();
  assert.equal(await text(after), "kept\nhalf\nwhole\n");
});

test("only the logs of the last attempts are kept", async () => {
  await using directory = await temporaryDirectory();
  for (const attempt of [0, 1, 2]) await (await ContainerLog.open(directory.path, attempt)).close();
  await pruneAttempts(directory.path, 2);
  assert.deepEqual((await readdir(directory.path)).toSorted(), ["1.0.log", "2.0.log"]);
});
