import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { test } from "node:test";
import { type Clock, silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { EventRecorder } from "@isopod/client";
import { startTestApi } from "@isopod/client/testing";
import { machineDirectory } from "./instance.ts";
import { InstanceRecords, recordVersion, UserIds } from "./instance-record.ts";
import { PodContext } from "./pod-context.ts";
import { releaseInstance } from "./release-instance.ts";
import { podWith } from "./testing/pods.ts";
import { UsageRecorder } from "./usage-recorder.ts";

/** Shorter waits are those between two tries. */
const stepTimeoutMs = 60_000;

const unused = async (): Promise<never> => assert.fail("a release does not ask for this");

/** A pod whose second VM an earlier node agent left, and `end` of the monitor; without waits between two tries. */
async function startContext(end: (directory: string) => Promise<void>) {
  const api = await startTestApi();
  const { client } = api;
  const directory = await temporaryDirectory();
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms, signal) => await systemClock.sleep(ms < stepTimeoutMs ? 0 : ms, signal),
  };
  const shared = { client, clock, logger: silentLogger };
  const records = new InstanceRecords(directory.path);
  const released: string[] = [];
  const context = new PodContext(
    podWith(),
    {
      version: recordVersion,
      podUID: podWith().metadata.uid ?? "",
      namespace: "shop",
      name: "web",
      userId: 0,
      vmCount: 2,
      containers: [],
      segments: [],
      stages: {},
      isReleased: false,
    },
    {
      ...shared,
      events: new EventRecorder({ ...shared, component: "kubelet", host: "node-1" }),
      usage: new UsageRecorder({ ...shared, nodeName: "node-1" }),
      nodeName: "node-1",
      hostIP: "127.0.0.1",
      vmm: {
        accelerator: { name: "tcg", reason: undefined },
        version: "",
        boot: unused,
        fork: unused,
        templates: {
          list: unused,
          find: unused,
          build: unused,
          keepZygote: unused,
          dropZygote: unused,
          remove: unused,
        },
        openSnapshot: unused,
        find: unused,
        end,
        close: unused,
      },
      images: {
        pull: unused,
        load: unused,
        get: unused,
        list: unused,
        remove: unused,
        hold: unused,
        release: async (holder) => void released.push(holder),
        collectGarbage: unused,
        [Symbol.asyncDispose]: unused,
      },
      network: {
        prepare: unused,
        attach: unused,
        detach: async (id) => void released.push(id),
        list: unused,
        [Symbol.asyncDispose]: unused,
      },
      scratch: { create: unused },
      templates: { forStart: unused },
      records,
      snapshots: { directoryOf: () => "", read: unused },
      userIds: new UserIds(2_000_000, 10),
      dns: { nameservers: [], searches: [] },
      interfaceOf: unused,
      vpc: unused,
      bootTimeoutMs: 1000,
      lastHeartbeatMicros: undefined,
    },
  );
  await mkdir(machineDirectory(context.directory, 2), { recursive: true });
  return {
    context,
    released,
    [Symbol.asyncDispose]: async () => {
      await context.record.close();
      await context.options.events.flush();
      await api[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

test("a machine that does not answer is ended by its record, whose directory stays until nothing is left of it", async () => {
  let failures = 2;
  const ended: string[] = [];
  const kept: boolean[] = [];
  await using pod = await startContext(async (directory) => {
    ended.push(directory);
    kept.push((await readdir(pod.context.directory)).includes("vm-2"));
    if (failures-- > 0) throw new Error("its cgroup is busy");
  });
  const { context } = pod;
  await releaseInstance(context, () => "Deleted");
  assert.deepEqual(
    ended,
    Array.from({ length: 3 }, () => machineDirectory(context.directory, 2)),
  );
  assert.deepEqual(kept, [true, true, true]);
  assert.ok(!(await readdir(context.directory)).includes("vm-2"));
  assert.deepEqual(pod.released, [context.podUID, context.podUID]);
});
