import { type Pod, startStagesAnnotation } from "@isopod/api";

/** Moments of one start on this machine, microseconds since the epoch. */
export interface StartMoments {
  readonly sentMicros: number;
  readonly acceptedMicros: number;
  readonly firstOutputMicros: number | undefined;
}

export interface StartStage {
  readonly stage: string;
  readonly ms: number;
}

/**
 * Where the start time went. Image, network and disk are prepared side by side: each is told on its own, and `boot`
 * begins when the last of them was ready.
 */
export function startStages(pod: Pod, moments: StartMoments): readonly StartStage[] {
  const text = pod.metadata.annotations?.[startStagesAnnotation];
  const at = text === undefined ? {} : (JSON.parse(text) as Record<string, number>);
  const stages: StartStage[] = [];
  const add = (stage: string, from: number | undefined, to: number | undefined): void => {
    if (from === undefined || to === undefined) return;
    stages.push({ stage, ms: Math.max(0, to - from) / 1000 });
  };
  const { seen, image, network, disk, booted, started } = at;
  const ready = [image, network, disk].filter((one) => one !== undefined);
  add("API", moments.sentMicros, moments.acceptedMicros);
  add("schedule", moments.acceptedMicros, seen);
  add("image", seen, image);
  add("network", seen, network);
  add("disk", seen, disk);
  add("boot", ready.length === 0 ? undefined : Math.max(...ready), booted);
  add("container", booted, started);
  add("first output", started, moments.firstOutputMicros);
  add("total", moments.sentMicros, moments.firstOutputMicros ?? started);
  return stages;
}
