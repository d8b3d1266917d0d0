import assert from "node:assert/strict";
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { assertCounted, countingScript, endCounting } from "../harness/counter.ts";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import { createPod, deletePod, eventsOf, isOver, isReady, podUntil, readLog, shellPod } from "../harness/pods.ts";

describe("a full data disk", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start({ tmpfsMiB: 192 });
  });
  after(async () => await e2e.stop());

  const ballast = (): string => join(e2e.dataDirectory, "ballast");
  const fill = async (): Promise<void> => {
    const { bavail, bsize } = await statfs(e2e.dataDirectory);
    // To the last page; what is written meanwhile takes from it.
    for (let pages = bavail; pages > 0; pages = Math.floor(pages / 2)) {
      await writeFile(ballast(), Buffer.alloc(pages * bsize), { flag: "a" }).catch(() => {});
    }
  };

  test("is told to whoever starts an instance; what runs goes on, and so does the service", async () => {
    await createPod(e2e, shellPod(e2e, countingScript, { name: "before" }));
    await podUntil(e2e, "before", "is ready", isReady);
    await fill();

    // The API may refuse it at once, or the node agent say why it does not start.
    const refusal = await createPod(e2e, shellPod(e2e, "echo after", { name: "during" })).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    if (refusal === undefined) {
      const [message = ""] = await eventually("somebody says that the disk is full", async () => {
        const told = await eventsOf(e2e, "during", "FailedCreatePodSandBox").catch(() => []);
        const logged = (await e2e.serviceLog(40)).map((line) => String(line["reason"] ?? ""));
        const found = [...told, ...logged].filter((text) => /no space left|ENOSPC|disk is full/i.test(text));
        return found.length > 0 ? found : undefined;
      });
      assert.match(message, /space|ENOSPC|full/i);
    } else assert.match(refusal, /full|space/i);
    assert.match((await e2e.isopod(["ps"])).stdout, /before/, "the service answers");

    await rm(ballast());
    if (refusal !== undefined) await createPod(e2e, shellPod(e2e, "echo after", { name: "during" }));
    await podUntil(e2e, "during", "is over", isOver);
    assert.equal(await readLog(e2e, "during"), "after\n");
    await endCounting(e2e, "before");
    const before = await podUntil(e2e, "before", "is over", isOver);
    assert.equal(before.status?.phase, "Succeeded");
    assertCounted(await readLog(e2e, "before"));
  });

  test("does not keep a pod from going", async () => {
    await createPod(e2e, shellPod(e2e, "sleep 600", { name: "leaving" }));
    await podUntil(e2e, "leaving", "is ready", isReady);
    await fill();
    try {
      await deletePod(e2e, "leaving");
    } catch (error) {
      // A store that cannot write refuses the deletion itself; that is said, and nothing hangs.
      assert.match(String(error), /full|space/i);
    } finally {
      await rm(ballast());
    }
  });
});
