import { setTimeout as delay } from "node:timers/promises";
import type { Contender, Instance } from "./contender.ts";
import { measureDisk } from "./disk.ts";
import type { Measurements } from "./measurements.ts";
import { measurePing } from "./ping.ts";
import type { RunPlan } from "./plan.ts";
import { measureThroughput } from "./throughput.ts";

export const instanceSize = { label: "1 vCPU", cpu: 1, memoryMiB: 1024 } as const;
export const memoryTopic = "memory";
export const pingTopic = "ping";
export const throughputTopic = "throughput";
export const diskTopic = "disk";

const launchTimeoutMs = 120_000;
/** Until what runs after a start has ended. */
const settleMs = 3000;
const mebibyte = 1024 * 1024;

/** Memory, network and disk of fresh pairs of instances, one pair on the machine at a time. */
export async function measureInstances(
  plan: RunPlan,
  measurements: Measurements,
  topics: ReadonlySet<string>,
): Promise<void> {
  const rounds = Math.ceil(plan.rounds / 5);
  for (let round = 0; round < rounds; round++) {
    for (const contender of plan.inTurn(round)) {
      // A contender that cannot launch has failed in all of them.
      await measurements.attempt([...topics], contender.name, plan.signal, async () => {
        await using undo = new AsyncDisposableStack();
        const one = await launch(contender, plan.signal, undo);
        const other = await launch(contender, plan.signal, undo);
        await measurePair(contender.name, [one, other], plan.signal, measurements, topics);
      });
    }
  }
}

async function launch(contender: Contender, stop: AbortSignal, undo: AsyncDisposableStack): Promise<Instance> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(launchTimeoutMs)]);
  const instance = await contender.launch(instanceSize, signal);
  undo.defer(async () => await instance.remove());
  return instance;
}

async function measurePair(
  name: string,
  [one, other]: readonly [Instance, Instance],
  signal: AbortSignal,
  measurements: Measurements,
  topics: ReadonlySet<string>,
): Promise<void> {
  const attempt = async (topic: string, action: () => Promise<void>): Promise<void> => {
    if (topics.has(topic)) await measurements.attempt([topic], name, signal, action);
  };
  // First of all: every program that runs in an instance leaves memory behind.
  await attempt(memoryTopic, async () => {
    await delay(settleMs, undefined, { signal });
    for (const instance of [one, other]) {
      const { overheadBytes, translationCacheBytes } = await instance.memory(signal);
      const add = (what: string, bytes: number): void =>
        measurements.add(memoryTopic, what, name, "MiB", [bytes / mebibyte]);
      add("idle instance, all", overheadBytes);
      if (translationCacheBytes !== undefined) add("of it translated code (TCG)", translationCacheBytes);
      add("the rest", overheadBytes - (translationCacheBytes ?? 0));
    }
  });
  await attempt(pingTopic, async () => await measurePing(name, one, other, signal, measurements, pingTopic));
  await attempt(throughputTopic, async () => {
    const megabits = await measureThroughput(one, other, signal);
    measurements.add(throughputTopic, "TCP, instance to instance", name, "Mbit/s", [megabits], { isRate: true });
  });
  await attempt(diskTopic, async () => {
    for (const { what, unit, value, note } of await measureDisk(one, signal)) {
      measurements.add(diskTopic, what, name, unit, [value], { isRate: true, ...(note === undefined ? {} : { note }) });
    }
  });
}
