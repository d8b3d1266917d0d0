import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  isNotFound,
  type Pod,
  type PodSpec,
  resources,
  type Snapshot,
  snapshotAnnotation,
  startedFromAnnotation,
} from "@isopod/api";
import { servicePaths } from "@isopod/service";
import { eventually } from "../harness/eventually.ts";
import { assertClockIsRight } from "../harness/guest-clock.ts";
import { Installation } from "../harness/installation.ts";
import { awaitEvents, createPod, deletePod, isReady, podUntil, readLog, shellPod, statusOf } from "../harness/pods.ts";

/**
 * Counts in its memory, and writes how far it is, and its own address at that moment, five times a second; ends with 7
 * when it is asked to.
 */
const counter =
  "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); " +
  'echo "$i $(ip -4 addr show eth0 | grep -o "inet [0-9.]*")"; sleep 0.2; done';

/** The numbers a counter has told: each is one more than the one before. */
async function countsOf(e2e: Installation, name: string): Promise<readonly number[]> {
  const lines = (await readLog(e2e, name)).split("\n").slice(0, -1);
  const counts = lines.map((line) => Number(line.split(" ")[0]));
  assert.deepEqual(
    counts,
    counts.map((_count, index) => (counts[0] ?? 0) + index),
    `${name}: ${lines.join(", ")}`,
  );
  return counts;
}

describe("a snapshot of an instance", () => {
  let e2e: Installation;
  before(async () => {
    e2e = await Installation.start();
  });
  after(async () => await e2e.stop());

  const directory = (): string => join(dirname(servicePaths(e2e.dataDirectory).instances), "snapshots");
  const isopod = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await e2e.isopod(args);
    assert.equal(exitCode, 0, `${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const counting = (name: string, spec: Partial<PodSpec> = {}): Pod =>
    shellPod(e2e, counter, { name, spec, container: { resources: { limits: { cpu: "1", memory: "1Gi" } } } });
  const start = async (name: string): Promise<Pod> => {
    await createPod(e2e, counting(name));
    await eventually(`${name} counts`, async () => (await readLog(e2e, name).catch(() => "")).includes("3 inet"));
    return await podUntil(e2e, name, "is ready", isReady);
  };
  const find = async (name: string): Promise<Snapshot | undefined> =>
    await e2e.client.get(resources.snapshots, "default", name).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  const ask = async (name: string, podName: string): Promise<void> => {
    await e2e.client.create(resources.snapshots, {
      apiVersion: "isopod.dev/v1alpha1",
      kind: "Snapshot",
      metadata: { name, namespace: "default" },
      spec: { podName },
    });
  };
  const goesOn = async (name: string): Promise<void> => {
    const before = (await countsOf(e2e, name)).at(-1) ?? 0;
    await eventually(`${name} counts on`, async () => ((await countsOf(e2e, name)).at(-1) ?? 0) > before + 1);
  };

  test("goes on twice, from the same moment, as two other instances", async () => {
    await start("original");
    assert.equal(await isopod("snapshot", "original", "--name", "moment"), "moment");
    const moment = (await find("moment")) ?? assert.fail();
    assert.equal(moment.status?.phase, "Ready");
    assert.ok((moment.status.sizeBytes ?? 0) > 1024 * 1024 && (moment.status.pauseMillis ?? 0) > 0);
    await Promise.all([
      isopod("clone", "--snapshot", "moment", "first"),
      isopod("clone", "--snapshot", "moment", "second"),
    ]);
    const names = ["first", "second"] as const;
    const pods = await Promise.all(names.map(async (name) => await podUntil(e2e, name, "is ready", isReady)));
    for (const pod of pods) {
      assert.equal(pod.metadata.annotations?.[startedFromAnnotation], "snapshot");
      assert.equal(statusOf(pod).restartCount, 0);
    }
    for (const name of ["original", ...names]) await goesOn(name);
    const [first = [], second = []] = await Promise.all(names.map(async (name) => await countsOf(e2e, name)));
    assert.equal(first[0], second[0]);
    assert.ok((first[0] ?? 0) > 2, `the clones began anew: ${first[0]}`);

    const look = "hostname; cat /sys/class/net/eth0/address; head -c 16 /dev/urandom | od -An -tx1; date +%s";
    const seen = await Promise.all(
      ["original", ...names].map(async (name) => {
        const told = await assertClockIsRight(name, async () => await isopod("exec", name, "--", "sh", "-c", look));
        return told.split("\n");
      }),
    );
    assert.deepEqual(
      seen.map(([host]) => host),
      ["original", ...names],
    );
    for (const line of [1, 2]) assert.equal(new Set(seen.map((one) => one[line])).size, 3, JSON.stringify(seen));
    for (const [index, name] of names.entries()) {
      const last = (await readLog(e2e, name)).trimEnd().split("\n").at(-1);
      assert.match(last ?? "", new RegExp(`inet ${pods[index]?.status?.podIP}$`));
    }
    // It serves those that run no longer.
    await isopod("snapshot", "rm", "moment");
    assert.deepEqual(await readdir(directory()), []);
    await goesOn("first");
    await Promise.all(["original", ...names].map(async (name) => await deletePod(e2e, name)));
  });

  test("of a paused instance runs in its clone, which the service finds again when it was killed", async () => {
    await start("frozen");
    await isopod("pause", "frozen");
    assert.equal(await isopod("clone", "frozen", "thawed"), "thawed");
    await goesOn("thawed");
    const before = (await countsOf(e2e, "frozen")).at(-1) ?? 0;
    assert.equal((await countsOf(e2e, "thawed"))[0], before + 1);
    await e2e.killService();
    await e2e.up();
    await goesOn("thawed");
    // The snapshot that was taken for it is its own, and goes with it.
    assert.equal((await readdir(directory())).length, 1);
    await deletePod(e2e, "thawed");
    await eventually("its snapshot is gone", async () => (await readdir(directory())).length === 0);
    await deletePod(e2e, "frozen", 0);
  });

  test("is failed by a service that was killed over it, and cancelled by its deletion; the instance runs on", async () => {
    await start("busy");
    await ask("cut-off", "busy");
    await eventually("it is being made", async () => (await readdir(directory())).length > 0);
    await e2e.killService();
    await e2e.up();
    const failed = await eventually("it has failed", async () => {
      const found = await find("cut-off");
      return found?.status?.phase === "Failed" ? found : undefined;
    });
    assert.match(failed.status?.message ?? "", /interrupted/);
    assert.deepEqual(await readdir(directory()), []);
    await goesOn("busy");
    await isopod("snapshot", "rm", "cut-off");

    await ask("unwanted", "busy");
    await eventually("it is being made", async () => (await readdir(directory())).length > 0);
    await isopod("snapshot", "rm", "unwanted");
    assert.deepEqual(await readdir(directory()), []);
    await goesOn("busy");
    await deletePod(e2e, "busy");
  });

  test("is where a clone that lost its machine begins again, and without it as any other instance", async () => {
    await createPod(e2e, counting("lasting", { restartPolicy: "Always" }));
    await eventually("it counts", async () => (await readLog(e2e, "lasting").catch(() => "")).includes("3 inet"));
    await isopod("snapshot", "lasting", "--name", "base");
    await isopod("clone", "--snapshot", "base", "again");
    await goesOn("again");
    const { metadata } = await e2e.client.get(resources.pods, "default", "again");
    const [begin = 0] = await countsOf(e2e, "again");
    assert.ok(begin > 1);
    const lose = async (restarts: number): Promise<Pod> => {
      process.kill(await e2e.vmPid(metadata.uid ?? ""), "SIGKILL");
      const isBack = (pod: Pod): boolean => isReady(pod) && statusOf(pod).restartCount === restarts;
      const pod = await podUntil(e2e, "again", `has ${restarts} restarts`, isBack);
      await goesOn("again");
      return pod;
    };
    const second = await lose(1);
    assert.equal(statusOf(second).lastState?.terminated?.reason, "VMLost");
    assert.equal((await countsOf(e2e, "again"))[0], begin);
    await isopod("snapshot", "rm", "base");
    const third = await lose(2);
    assert.equal((await countsOf(e2e, "again"))[0], 1);
    assert.notEqual(third.metadata.annotations?.[startedFromAnnotation], "snapshot");
    await Promise.all(["lasting", "again"].map(async (name) => await deletePod(e2e, name)));
  });

  test("is waited for by a pod that is cloned from it, and one that is another pod's is refused", async () => {
    const cloning = (pod: Pod): Pod => {
      return { ...pod, metadata: { ...pod.metadata, annotations: { [snapshotAnnotation]: "later" } } };
    };
    await createPod(e2e, cloning(counting("early")));
    assert.match((await awaitEvents(e2e, "early", "Failed")).join(), /snapshot "later" not found/);
    await start("source");
    await isopod("snapshot", "source", "--name", "later");
    await podUntil(e2e, "early", "is ready", isReady);
    await goesOn("early");
    await createPod(e2e, cloning(shellPod(e2e, "sleep 600", { name: "another" })));
    const refused = await podUntil(e2e, "another", "has failed", (pod) => pod.status?.phase === "Failed");
    assert.equal(refused.status?.reason, "CloneRefused");
    assert.match(refused.status?.message ?? "", /spec\.containers\[0\]\./);
    await Promise.all(["early", "source", "another"].map(async (name) => await deletePod(e2e, name)));
    await isopod("snapshot", "rm", "later");
  });
});
