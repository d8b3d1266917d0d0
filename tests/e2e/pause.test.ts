import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isPaused, type Pod, pausedAnnotation, podUidLabel, resources, type UsageSegment } from "@isopod/api";
import { eventually } from "../harness/eventually.ts";
import { assertClockIsRight } from "../harness/guest-clock.ts";
import { Installation } from "../harness/installation.ts";
import {
  createPod,
  deletePod,
  followLog,
  isReady,
  logUntil,
  podUntil,
  readLog,
  shellPod,
  statusOf,
} from "../harness/pods.ts";

/** Counts on the standard output, five numbers a second, as long as it runs; ends at once when it is asked to. */
const counter = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";

/** The numbers a counter has told: none is missing, and none is there twice. */
async function countOf(e2e: Installation, name: string): Promise<number> {
  const lines = (await readLog(e2e, name)).trimEnd().split("\n");
  assert.deepEqual(
    lines,
    lines.map((_line, index) => String(index + 1)),
  );
  return lines.length;
}

async function goesOn(e2e: Installation, name: string): Promise<void> {
  const before = await countOf(e2e, name);
  await eventually(`${name} counts on`, async () => (await countOf(e2e, name)) > before + 2);
}

/** The count of one that is paused: what was on its way at that moment has come. */
async function lastCountOf(e2e: Installation, name: string): Promise<number> {
  let last = await countOf(e2e, name);
  return await eventually(`${name} counts no more`, async () => {
    await delay(1000);
    const before = last;
    last = await countOf(e2e, name);
    return last === before ? last : undefined;
  });
}

/** Processor time of a process so far, user and system, in hundredths of a second. */
async function cpuTicks(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

const conditionOf = (pod: Pod, type: string) => pod.status?.conditions?.find((one) => one.type === type);

describe("a paused instance", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const start = async (name: string): Promise<Pod> => {
    await createPod(e2e, shellPod(e2e, counter, { name }));
    await eventually(`${name} counts`, async () => (await readLog(e2e, name).catch(() => "")).includes("2\n"));
    return await podUntil(e2e, name, "is ready", isReady);
  };
  const isopod = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await e2e.isopod(args);
    assert.equal(exitCode, 0, `${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const segmentsOf = async (podUID: string): Promise<readonly UsageSegment["spec"][]> => {
    const { items } = await e2e.client.list(resources.usagesegments, { labelSelector: `${podUidLabel}=${podUID}` });
    return items.map(({ spec }) => spec).toSorted((a, b) => a.startMicros - b.startMicros);
  };
  const wish = async (name: string, value: string | null): Promise<void> => {
    const patch = { metadata: { annotations: { [pausedAnnotation]: value } } };
    await e2e.client.patch(resources.pods, "default", name, patch);
  };

  test("computes nothing, says so, keeps what it has, and goes on where it was, at the right time", async () => {
    const { metadata } = await start("still");
    assert.equal(await isopod("pause", "still"), "still");
    const paused = await e2e.client.get(resources.pods, "default", "still");
    assert.deepEqual(
      [conditionOf(paused, "Ready")?.status, conditionOf(paused, "Ready")?.reason, paused.status?.phase],
      ["False", "Paused", "Running"],
    );
    assert.equal(statusOf(paused).ready, false);
    assert.match(await isopod("ps"), /still .*Paused/);

    const pid = await e2e.vmPid(metadata.uid ?? "");
    const count = await lastCountOf(e2e, "still");
    const ticks = await cpuTicks(pid);
    await delay(3000);
    const used = (await cpuTicks(pid)) - ticks;
    // One that counts uses 15 and more.
    assert.ok(used <= 5, `${used * 10} ms of processor time in 3 s`);
    assert.equal(await countOf(e2e, "still"), count);
    const refused = await e2e.isopod(["exec", "still", "--", "true"]);
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /instance still is paused/);

    assert.equal(await isopod("resume", "still"), "still");
    await podUntil(e2e, "still", "is ready again", isReady);
    await goesOn(e2e, "still");
    await assertClockIsRight("still", async () => await isopod("exec", "still", "--", "date", "+%s"));
    assert.equal(await e2e.vmPid(metadata.uid ?? ""), pid);
    const [first, second, third] = await eventually("the bill has three parts", async () => {
      const found = await segmentsOf(metadata.uid ?? "");
      return found.length === 3 && found[1]?.endMicros !== undefined ? found : undefined;
    });
    assert.deepEqual(
      [first, second, third].map((one) => [one?.state, one?.endCause]),
      [
        ["Running", "Paused"],
        ["Paused", "Resumed"],
        ["Running", undefined],
      ],
    );
    assert.equal(second?.startMicros, first?.endMicros);
    assert.equal(third?.startMicros, second?.endMicros);
    assert.ok((second?.endMicros ?? 0) - (second?.startMicros ?? 0) >= 3_000_000);
  });

  test("stays paused when the service is killed and comes back, and what was asked at the last moment is done", async () => {
    const { metadata } = await start("asleep");
    await isopod("pause", "asleep");
    const pid = await e2e.vmPid(metadata.uid ?? "");
    const count = await lastCountOf(e2e, "asleep");
    await e2e.killService();
    await e2e.up();
    await delay(1000);
    const found = await podUntil(e2e, "asleep", "is found", (pod) => pod.status?.phase === "Running");
    assert.ok(isPaused(found) && !isReady(found), JSON.stringify(found.status));
    assert.equal(await countOf(e2e, "asleep"), count);
    const [running, still] = await eventually("the bill goes on as paused", async () => {
      const told = await segmentsOf(metadata.uid ?? "");
      return told.length === 2 ? told : undefined;
    });
    assert.deepEqual([running?.state, running?.endMicros], ["Running", still?.startMicros]);
    assert.deepEqual([still?.state, still?.endMicros], ["Paused", undefined]);
    await wish("asleep", null);
    await e2e.killService();
    await e2e.up();
    await podUntil(e2e, "asleep", "is ready", (pod) => isReady(pod) && !isPaused(pod));
    await goesOn(e2e, "asleep");
    assert.equal(await e2e.vmPid(metadata.uid ?? ""), pid);
  });

  test("begins as one if its manifest says so, and has its grace when it is deleted", async () => {
    const script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    const metadata = { annotations: { [pausedAnnotation]: "true" } };
    await createPod(e2e, shellPod(e2e, script, { name: "born", metadata }));
    await podUntil(e2e, "born", "is paused", isPaused);
    await isopod("resume", "born");
    await logUntil(e2e, "born", "ready\n");
    await isopod("pause", "born");
    const followed = await followLog(e2e, "born");
    // A pause in which no second begins has no line in the bill.
    await delay(1000);
    // A grace longer than the wait for its end: it ends by itself.
    await deletePod(e2e, "born", 300);
    assert.equal(await followed.whole(), "ready\nbye\n");
    const bill = JSON.parse(await isopod("bill", "--output", "json")) as {
      readonly lines: readonly { readonly pod: string; readonly state: string }[];
    };
    assert.ok(bill.lines.some((line) => line.pod === "born" && line.state === "Paused"));
  });

  test("ends at once when it is deleted without a grace", async () => {
    await start("short");
    await isopod("pause", "short");
    await deletePod(e2e, "short", 0);
  });
});
