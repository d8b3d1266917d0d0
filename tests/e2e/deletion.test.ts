import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { resources } from "@isopod/api";
import { writeDerivedImage } from "../harness/derived-image.ts";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import {
  awaitEvents,
  createPod,
  deletePod,
  followLog,
  isOver,
  logUntil,
  podGone,
  podUntil,
  shellPod,
} from "../harness/pods.ts";
import { startStallingRegistry } from "../harness/stalling-registry.ts";

describe("a pod that is deleted", { concurrency: 3 }, () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  test("is told to stop, and may say its last words", async () => {
    const script = "trap 'echo closing; sleep 1; echo closed; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    await createPod(e2e, shellPod(e2e, script, { name: "polite" }));
    await logUntil(e2e, "polite", "ready\n");
    const followed = await followLog(e2e, "polite");
    // A grace longer than the wait for its end: it is not used up.
    await deletePod(e2e, "polite", 300);
    assert.equal(await followed.whole(), "ready\nclosing\nclosed\n");
    assert.deepEqual(await awaitEvents(e2e, "polite", "Killing"), ["Stopping container main"]);
  });

  test("is ended when its grace is over", async () => {
    await createPod(e2e, shellPod(e2e, "trap '' TERM; echo ready; while :; do sleep 0.1; done", { name: "deaf" }));
    await logUntil(e2e, "deaf", "ready\n");
    const startedMs = performance.now();
    await deletePod(e2e, "deaf", 2);
    assert.ok(performance.now() - startedMs >= 1900, "it had its grace");
  });

  test("is gone at once by force", async () => {
    await createPod(e2e, shellPod(e2e, "trap '' TERM; echo ready; while :; do sleep 0.1; done", { name: "forced" }));
    await logUntil(e2e, "forced", "ready\n");
    const deleted = await e2e.kubectl(["delete", "pod", "forced", "--force", "--grace-period=0", "--timeout=60s"]);
    assert.equal(deleted.exitCode, 0, deleted.stderr);
    await podGone(e2e, "forced");
  });

  test("in the middle of a pull leaves the pull", async () => {
    const layout = join(e2e.directory, "stalled-layout");
    await writeDerivedImage(e2e.registry, layout, [[{ name: "large" }, randomBytes(1_000_000)]]);
    await e2e.registry.push(layout, "stalled:1");
    await using stalling = await startStallingRegistry(e2e.registry);
    const image = `${stalling.host}/stalled:1`;
    await createPod(e2e, shellPod(e2e, "true", { name: "pulling", container: { image } }));
    await eventually("the pull waits for the rest of a layer", () => stalling.stalled > 0);
    await deletePod(e2e, "pulling", 60);
    await eventually("the pull is given up", () => stalling.stalled === 0);
  });

  test("in the middle of its boot is gone long before its grace is over", async () => {
    const names = Array.from({ length: 4 }, (_, index) => `early-${index}`);
    await Promise.all(names.map(async (name) => await createPod(e2e, shellPod(e2e, "sleep 600", { name }))));
    // Each at another moment of its start; the wait for its end is shorter than the grace.
    await Promise.all(
      names.map(async (name, index) => {
        await delay(index * 250);
        await deletePod(e2e, name, 300);
      }),
    );
  });

  test("after its end gives back its name, and its bill stays", async () => {
    const wish = { name: "again", metadata: { labels: { test: "again" } } };
    for (const round of [1, 2]) {
      const created = await createPod(e2e, shellPod(e2e, "true", wish));
      await podUntil(e2e, "again", "is over", isOver);
      await deletePod(e2e, "again");
      assert.equal(
        (await e2e.isopod(["bill", "-l", "test=again", "--output", "json"])).stdout.match(/"pod"/g)?.length,
        round,
      );
      await eventually("its address is free again", async () => {
        const { items } = await e2e.client.list(resources.networkinterfaces);
        return !items.some((eni) => eni.spec.podUID === created.metadata.uid);
      });
    }
  });

  test("is billed as the ledger says, to the second", async () => {
    await createPod(e2e, shellPod(e2e, "sleep 2.5", { name: "billed", metadata: { labels: { test: "billed" } } }));
    await podUntil(e2e, "billed", "is over", isOver);
    await deletePod(e2e, "billed");
    const bill = JSON.parse((await e2e.isopod(["bill", "-l", "test=billed", "--output", "json"])).stdout) as {
      readonly totalSeconds: string;
      readonly totalMicros: string;
      readonly lines: readonly { readonly seconds: string; readonly priceMicros: string; readonly endCause: string }[];
    };
    assert.equal(bill.lines.length, 1);
    const [line] = bill.lines;
    assert.equal(line?.endCause, "Completed");
    assert.equal(bill.totalSeconds, line?.seconds);
    assert.equal(bill.totalMicros, line?.priceMicros);
    const price = JSON.parse(
      (await e2e.isopod(["price", "--cpu", "0.1", "--memory", "128Mi", "--output", "json"])).stdout,
    ) as { readonly secondMicros: string };
    const exact = ledgerSeconds(e2e, "billed");
    assert.equal(line?.seconds, String(exact), "a started second counts as one");
    // The price of a second is shown rounded; the sum is rounded once.
    const expected = Number(price.secondMicros) * exact;
    assert.ok(Math.abs(Number(bill.totalMicros) - expected) <= exact + 1, `${bill.totalMicros} is about ${expected}`);
  });
});

/** Billed seconds of a pod by the ledger's own file, read beside the service. */
function ledgerSeconds(e2e: Installation, podName: string): number {
  const database = new DatabaseSync(join(e2e.dataDirectory, "meter", "ledger.db"), { readOnly: true });
  try {
    const rows = database.prepare("SELECT start_micros, end_micros FROM ledger WHERE pod_name = ?").all(podName);
    return rows
      .map((row) => Number(row["end_micros"]) - Number(row["start_micros"]))
      .reduce((sum, micros) => sum + Math.max(1, Math.ceil(micros / 1_000_000)), 0);
  } finally {
    database.close();
  }
}
