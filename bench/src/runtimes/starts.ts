import { startSizes } from "../start.ts";
import type { Contender, Started } from "./contender.ts";
import { type Measurements, reasonOf } from "./measurements.ts";
import type { RunPlan } from "./plan.ts";

export const startTopic = "start";
export const burstTopic = "at once";

/** The smallest memory of this size, so that fifty fit a small machine. */
export const burstSize = { label: "0.25 vCPU", cpu: 0.25, memoryMiB: 256 } as const;
export const burstCounts = [10, 50] as const;

/** Longest for one start, and for a whole burst. */
const startTimeoutMs = 120_000;
const burstTimeoutMs = 600_000;

/** One at a time: through the API, and by the command a user would type. */
export async function measureStarts(plan: RunPlan, measurements: Measurements): Promise<void> {
  for (const size of startSizes) {
    for (const contender of plan.contenders) {
      await measurements.attempt([startTopic], contender.name, plan.signal, async () => {
        await contender.prepare(size, plan.signal);
      });
    }
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const size of startSizes) {
      for (const contender of plan.inTurn(round)) {
        await measurements.attempt([startTopic], contender.name, plan.signal, async () => {
          const signal = AbortSignal.any([plan.signal, AbortSignal.timeout(startTimeoutMs)]);
          const started = await contender.start(size, signal);
          await started.remove();
          measurements.add(startTopic, `start, ${size.label}`, contender.name, "ms", [started.ms]);
          if (contender.runOnce === undefined) return;
          const began = performance.now();
          await contender.runOnce(size, signal);
          const elapsedMs = performance.now() - began;
          measurements.add(startTopic, `run --rm, ${size.label}`, contender.name, "ms", [elapsedMs]);
        });
      }
    }
  }
}

/** Many at once: the time until each one's first output, all bursts of a kind together. */
export async function measureBursts(plan: RunPlan, measurements: Measurements): Promise<void> {
  for (const contender of plan.contenders) {
    await measurements.attempt([burstTopic], contender.name, plan.signal, async () => {
      await contender.prepare(burstSize, plan.signal);
    });
  }
  for (const count of burstCounts) {
    const rounds = Math.ceil(plan.rounds / (count > 10 ? 10 : 5));
    for (let round = 0; round < rounds; round++) {
      for (const contender of plan.inTurn(round)) {
        await measurements.attempt([burstTopic], contender.name, plan.signal, async () => {
          const values = await burst(contender, count, plan.signal);
          measurements.add(burstTopic, `${count} at once, ${burstSize.label}`, contender.name, "ms", values);
        });
      }
    }
  }
}

/** A burst counts only as a whole: the ones that came through had the machine to themselves when others failed. */
async function burst(contender: Contender, count: number, stop: AbortSignal): Promise<readonly number[]> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(burstTimeoutMs)]);
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, async () => await contender.start(burstSize, signal)),
  );
  const started = outcomes.flatMap((one): Started[] => (one.status === "fulfilled" ? [one.value] : []));
  await Promise.all(started.map(async (one) => await one.remove()));
  const failed = outcomes.filter((one) => one.status === "rejected");
  if (failed.length > 0) throw new Error(`${failed.length} of ${count}: ${reasonOf(failed[0]?.reason)}`);
  return started.map((one) => one.ms);
}
