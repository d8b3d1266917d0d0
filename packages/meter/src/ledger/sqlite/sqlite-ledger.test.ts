import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { entry } from "../../testing/entries.ts";
import { LedgerError } from "../ledger-error.ts";
import { openSqliteLedger } from "./sqlite-ledger.ts";

test("what is appended is there after a reopening, whole, in the order of its start, and once", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  const path = join(directory.path, "ledger.db");
  const late = entry({ segment: "late", startMicros: 2n ** 62n, endMicros: 2n ** 62n + 1n, state: "Paused" });
  {
    await using ledger = openSqliteLedger(path);
    await ledger.append(late);
    await ledger.append(entry());
    await ledger.append(entry({ endMicros: 1_800_000_000_000_000n, endCause: "Other" }));
    await ledger.append(entry({ namespace: "other" }));
  }
  await using ledger = openSqliteLedger(path);
  assert.deepEqual(await ledger.list({ namespace: "default" }), [entry(), late]);
  assert.equal((await ledger.list()).length, 3);
  assert.equal(await ledger.has("default", "uid-0"), true);
  assert.equal(await ledger.has("default", "uid-1"), false);
});

test("a period finds the entries that touch it, those without length among them", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  await using ledger = openSqliteLedger(join(directory.path, "ledger.db"));
  await ledger.append(entry({ segment: "a", startMicros: 10n, endMicros: 20n }));
  await ledger.append(entry({ segment: "b", startMicros: 30n, endMicros: 30n }));
  const found = async (sinceMicros: bigint, untilMicros: bigint): Promise<string> =>
    (await ledger.list({ sinceMicros, untilMicros })).map((one) => one.segment).join();
  assert.equal(await found(0n, 10n), "");
  assert.equal(await found(0n, 11n), "a");
  assert.equal(await found(15n, 31n), "a,b");
  assert.equal(await found(21n, 30n), "");
  assert.equal(await found(30n, 40n), "b");
});

test("what pods ever had is found by their ids, in the order of its start", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  await using ledger = openSqliteLedger(join(directory.path, "ledger.db"));
  const [a, b, c] = [
    entry({ segment: "a-1", podUID: "a", startMicros: 20n, endMicros: 30n }),
    entry({ segment: "b-0", podUID: "b", startMicros: 5n, endMicros: 6n }),
    entry({ segment: "a-0", podUID: "a", startMicros: 10n, endMicros: 20n }),
  ];
  for (const one of [a, b, c]) await ledger.append(one);
  assert.deepEqual(await ledger.listOfPods(["a"]), [c, a]);
  assert.deepEqual(await ledger.listOfPods(["a", "b", "it's"]), [b, c, a]);
  assert.deepEqual(await ledger.listOfPods([]), []);
});

test("nobody rewrites the ledger, by SQL neither", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  const path = join(directory.path, "ledger.db");
  await using ledger = openSqliteLedger(path);
  await ledger.append(entry());
  const other = new DatabaseSync(path);
  assert.throws(() => other.exec("UPDATE ledger SET cpu_milli = 1"), /append-only/);
  assert.throws(() => other.exec("DELETE FROM ledger"), /append-only/);
  other.close();
  assert.deepEqual(await ledger.list(), [entry()]);
});

test("an entry that ends before it begins, and a file that is no ledger, are refused with what to do", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  await using ledger = openSqliteLedger(join(directory.path, "ledger.db"));
  await assert.rejects(ledger.append(entry({ endMicros: 1n })), LedgerError);
  assert.throws(
    () => openSqliteLedger(join(directory.path, "missing", "ledger.db")),
    (error) => error instanceof LedgerError && error.code === "Unavailable" && error.remedy !== undefined,
  );
});

test("everything acknowledged is there after kill -9 in the middle of appending", async () => {
  await using directory = await temporaryDirectory("isopod-ledger-");
  const path = join(directory.path, "ledger.db");
  const script = `
    import { openSqliteLedger } from ${JSON.stringify(join(import.meta.dirname, "sqlite-ledger.ts"))};
    import { entry } from ${JSON.stringify(join(import.meta.dirname, "../../testing/entries.ts"))};
    const ledger = openSqliteLedger(process.argv[1]);
    for (let count = 0; ; count++) {
      await ledger.append(entry({ segment: "s-" + count }));
      await new Promise((resolve) => process.stdout.write("s-" + count + "\\n", resolve));
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const acknowledged: string[] = [];
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    acknowledged.push(...lines);
    if (acknowledged.length >= 50) child.kill("SIGKILL");
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  await using ledger = openSqliteLedger(path);
  const found = new Set((await ledger.list()).map((one) => one.segment));
  assert.ok(acknowledged.length >= 50);
  assert.deepEqual(
    acknowledged.filter((name) => !found.has(name)),
    [],
  );
  // At most the one whose acknowledgement was cut off.
  assert.ok(found.size <= acknowledged.length + 1);
});
