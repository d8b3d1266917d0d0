import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Pod, resources, type UsageSegment } from "@isopod/api";
import { servicePaths } from "@isopod/service";
import { assertCounted, countedLines, countingScript, endCounting } from "../harness/counter.ts";
import { writeDerivedImage } from "../harness/derived-image.ts";
import { eventually } from "../harness/eventually.ts";
import { Installation } from "../harness/installation.ts";
import {
  awaitEvents,
  createPod,
  isOver,
  isReady,
  logUntil,
  podGone,
  podUntil,
  readLog,
  shellPod,
  statusOf,
  touchIn,
} from "../harness/pods.ts";
import { startStallingRegistry } from "../harness/stalling-registry.ts";

describe("what is killed", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const segmentsOf = async (podName: string): Promise<readonly UsageSegment[]> => {
    const { items } = await e2e.client.list(resources.usagesegments, { namespace: "default" });
    return items.filter((one) => one.spec.podName === podName);
  };
  const closedSegments = async (podName: string): Promise<readonly UsageSegment[]> =>
    await eventually(`the segments of ${podName} are closed`, async () => {
      const found = await segmentsOf(podName);
      return found.length > 0 && found.every((one) => one.spec.endMicros !== undefined) ? found : undefined;
    });
  const vmPid = async (name: string): Promise<number> =>
    await e2e.vmPid((await e2e.client.get(resources.pods, "default", name)).metadata.uid ?? "");

  test("a VM that dies is replaced when its pod restarts always, with its address and a segment of its own", async () => {
    await createPod(
      e2e,
      shellPod(e2e, "echo started; sleep 600", { name: "phoenix", spec: { restartPolicy: "Always" } }),
    );
    const first = await podUntil(e2e, "phoenix", "is ready", isReady);
    process.kill(await vmPid("phoenix"), "SIGKILL");
    const isAgain = (one: Pod): boolean => isReady(one) && statusOf(one).restartCount === 1;
    const second = await podUntil(e2e, "phoenix", "runs again", isAgain);
    assert.equal(second.status?.podIP, first.status?.podIP);
    assert.equal(statusOf(second).lastState?.terminated?.reason, "VMLost");
    await logUntil(e2e, "phoenix", "started\n");
    const segments = await eventually("both segments are written", async () => {
      const found = await segmentsOf("phoenix");
      return found.length === 2 && found.some((one) => one.spec.endCause === "VMLost") ? found : undefined;
    });
    const [one, two] = segments.toSorted((a, b) => a.spec.startMicros - b.spec.startMicros);
    assert.ok((one?.spec.endMicros ?? Number.POSITIVE_INFINITY) <= (two?.spec.startMicros ?? 0), "sold twice");
  });

  test("a VM that dies ends a pod that never restarts, and says why in a few words", async () => {
    await createPod(e2e, shellPod(e2e, "sleep 600", { name: "mortal" }));
    await podUntil(e2e, "mortal", "is ready", isReady);
    process.kill(await vmPid("mortal"), "SIGKILL");
    const pod = await podUntil(e2e, "mortal", "is over", isOver);
    assert.equal(pod.status?.phase, "Failed");
    assert.equal(pod.status?.reason, "VMLost");
    assert.equal(statusOf(pod).state?.terminated?.reason, "VMLost");
    const [event = ""] = await awaitEvents(e2e, "mortal", "VMLost");
    assert.ok(event.length < 600, event);
  });

  test("a service that is killed finds its instances: output complete, bill whole, ends meanwhile recorded", async () => {
    // One goes on through it all, one ends while nobody watches, one loses its VM then.
    await createPod(e2e, shellPod(e2e, countingScript, { name: "steady" }));
    const begun = "until [ -e /begin ]; do sleep 0.1; done";
    const twenty = 'for i in $(seq 20); do echo "line $i"; sleep 0.1; done';
    await createPod(e2e, shellPod(e2e, `${begun}; ${twenty}; exit 3`, { name: "brief" }));
    await createPod(e2e, shellPod(e2e, "sleep 600", { name: "lost" }));
    for (const name of ["steady", "brief", "lost"]) {
      await podUntil(e2e, name, "has started", (pod) => pod.status?.phase !== "Pending");
    }
    const pid = await vmPid("steady");
    const lostPid = await vmPid("lost");
    const heartbeat = join(servicePaths(e2e.dataDirectory).instances, "heartbeat");
    const runningMs = Date.now();
    await eventually("all are known to live", async () => (await stat(heartbeat)).mtimeMs > runningMs);
    await touchIn(e2e, "brief", "/begin");
    await e2e.killService();
    const provenMicros = Math.round((await stat(heartbeat)).mtimeMs * 1000);
    // Twice what "brief" needs on an idle host.
    await delay(5000);
    process.kill(lostPid, "SIGKILL");
    await e2e.up();
    assert.equal(await vmPid("steady"), pid, "the same VM runs on");
    await endCounting(e2e, "steady");

    const steady = await podUntil(e2e, "steady", "is over", isOver);
    assert.equal(steady.status?.phase, "Succeeded");
    assert.equal(statusOf(steady).restartCount, 0);
    assertCounted(await readLog(e2e, "steady"));
    const brief = await podUntil(e2e, "brief", "is over", isOver);
    assert.equal(statusOf(brief).state?.terminated?.exitCode, 3);
    assert.equal(await readLog(e2e, "brief"), countedLines(20));
    for (const pod of [steady, brief]) {
      const { name } = pod.metadata;
      const [segment, ...more] = await closedSegments(name);
      assert.deepEqual(more, [], `${name} has one segment`);
      const state = statusOf(pod).state?.terminated;
      const isClose = (micros: number | undefined, time: string | undefined): boolean =>
        Math.abs((micros ?? 0) / 1000 - Date.parse(time ?? "")) <= 1000;
      assert.ok(isClose(segment?.spec.startMicros, state?.startedAt), `${name}: the segment begins with it`);
      assert.ok(isClose(segment?.spec.endMicros, state?.finishedAt), `${name}: the segment ends with it`);
    }
    // Nobody can prove that it lived longer than the service that watched it.
    const lost = await podUntil(e2e, "lost", "is over", isOver);
    assert.equal(lost.status?.reason, "VMLost");
    const [segment] = await closedSegments("lost");
    assert.equal(segment?.spec.endMicros, provenMicros);
  });

  test("a service that is killed in the middle of a pull pulls again and runs the pod", async () => {
    const layout = join(e2e.directory, "large-layout");
    await writeDerivedImage(e2e.registry, layout, [[{ name: "large" }, randomBytes(1_000_000)]]);
    await e2e.registry.push(layout, "large:1");
    await using stalling = await startStallingRegistry(e2e.registry);
    const image = `${stalling.host}/large:1`;
    await createPod(e2e, shellPod(e2e, "wc -c < /large", { name: "puller", container: { image } }));
    await eventually("the pull waits for the rest of a layer", () => stalling.stalled > 0);
    await e2e.killService();
    stalling.letGo();
    await e2e.up();
    await podUntil(e2e, "puller", "is over", isOver);
    assert.equal(await readLog(e2e, "puller"), "1000000\n");
  });

  test("a service that is killed while a container ends gives it the rest of its grace", async () => {
    const handler = "echo ending; until [ -e /enough ]; do sleep 0.1; done; exit 5";
    const script = `trap '${handler}' TERM; echo ready; while :; do sleep 0.1; done`;
    const created = await createPod(e2e, shellPod(e2e, script, { name: "ending" }));
    await logUntil(e2e, "ending", "ready\n");
    await e2e.client.delete(resources.pods, "default", "ending", { body: { gracePeriodSeconds: 300 } });
    await logUntil(e2e, "ending", "ready\nending\n");
    await e2e.killService();
    await e2e.up();
    // It is still there, and is gone when it has ended: sooner than its grace.
    await touchIn(e2e, "ending", "/enough");
    await podGone(e2e, "ending");
    const bill = JSON.parse((await e2e.isopod(["bill", "--output", "json"])).stdout) as {
      readonly lines: readonly { readonly pod: string; readonly endCause?: string }[];
    };
    const own = bill.lines.filter((line) => line.pod === "ending");
    assert.equal(own.length, 1, JSON.stringify(created.metadata.uid));
    assert.equal(own[0]?.endCause, "Deleted");
  });

  test("none of this has put a console into the log", async () => {
    const text = await readFile(join(e2e.dataDirectory, "isopod.log"), "utf8");
    assert.doesNotMatch(text, /output could not be/);
    for (const line of text.split("\n")) assert.ok(line.length < 2000, line.slice(0, 300));
  });
});
