import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { systemClock, type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import { isStoreError } from "../errors.ts";
import { storeContractTests } from "../testing/contract-tests.ts";
import { openSqliteStore } from "./open.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

let directory: TemporaryDirectory;
let count = 0;
const newPath = () => join(directory.path, String(count++), "store.db");

before(async () => {
  directory = await temporaryDirectory();
});
after(async () => {
  await directory[Symbol.asyncDispose]();
});

storeContractTests("the SQLite store", async () => {
  return await openSqliteStore({ path: newPath(), clock: systemClock, progressIntervalMs: 50 });
});

describe("the SQLite store", () => {
  it("is refused to a second opener, and free again once closed", async () => {
    const path = newPath();
    {
      await using _first = await openSqliteStore({ path, clock: systemClock });
      await assert.rejects(openSqliteStore({ path, clock: systemClock }), (error) => isStoreError(error, "Locked"));
    }
    await using _second = await openSqliteStore({ path, clock: systemClock });
  });

  it("says Failed for a file that is no database, and leaves it alone", async () => {
    const path = newPath();
    await mkdir(dirname(path), { recursive: true });
    const content = "not a database ".repeat(1000);
    await writeFile(path, content);
    await assert.rejects(openSqliteStore({ path, clock: systemClock }), (error) => isStoreError(error, "Failed"));
    assert.equal(await readFile(path, "utf8"), content);
  });

  it("goes on where it was when opened again", async () => {
    const path = newPath();
    let revision = 0;
    {
      await using store = await openSqliteStore({ path, clock: systemClock });
      const created = await store.create("/k/a", bytes("1"));
      const deleted = await store.delete("/k/a", created.modRevision);
      revision = deleted.modRevision;
      await store.compact(revision);
    }
    await using store = await openSqliteStore({ path, clock: systemClock });
    assert.equal(await store.currentRevision(), revision);
    await assert.rejects(store.get("/k/a", revision - 1), (error) => isStoreError(error, "Compacted"));
    assert.equal((await store.create("/k/a", bytes("2"))).modRevision, revision + 1);
  });

  it("says NoSpace when full, keeps all it acknowledged, and writes again after compaction", async () => {
    const path = newPath();
    await using store = await openSqliteStore({ path, clock: systemClock, maxSizeBytes: 512 * 1024 });
    const value = new Uint8Array(10_000).fill(7);
    let newest = await store.create("/k/a", value);
    await assert.rejects(
      async () => {
        for (;;) newest = await store.update("/k/a", value, newest.modRevision);
      },
      (error) => isStoreError(error, "NoSpace"),
    );
    assert.equal((await store.get("/k/a"))?.modRevision, newest.modRevision);
    assert.equal(await store.currentRevision(), newest.modRevision);
    await store.compact(newest.modRevision);
    newest = await store.update("/k/a", value, newest.modRevision);
    assert.equal((await store.get("/k/a"))?.modRevision, newest.modRevision);
  });

  it("forgets history older than its window by itself", async () => {
    await using store = await openSqliteStore({ path: newPath(), clock: systemClock, historyMs: 100 });
    const first = await store.create("/k/a", bytes("1"));
    let newest = await store.update("/k/a", bytes("2"), first.modRevision);
    for (;;) {
      try {
        await store.get("/k/a", first.modRevision);
      } catch (error) {
        assert.ok(isStoreError(error, "Compacted"));
        break;
      }
      await systemClock.sleep(20);
      newest = await store.update("/k/a", bytes("n"), newest.modRevision);
    }
    assert.equal((await store.get("/k/a"))?.modRevision, newest.modRevision);
  });

  it("has every acknowledged write after kill -9 amid writes", async () => {
    const path = newPath();
    for (let round = 0; round < 3; round++) {
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, "../testing/crash-writer.ts"), path, `${round}`],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      const acknowledged: string[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged.push(line);
        if (acknowledged.length === 300) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      assert.ok(acknowledged.length >= 300);
      await using store = await openSqliteStore({ path, clock: systemClock });
      for (const line of acknowledged) {
        const [key = "", revision] = line.split(" ");
        assert.equal((await store.get(key))?.modRevision, Number(revision), line);
      }
    }
  });
});
