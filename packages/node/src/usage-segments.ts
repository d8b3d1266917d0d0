import type { InstanceSize } from "@isopod/api";
import { describeError, type Logger } from "@isopod/base";
import type { SegmentRecord } from "./instance-record.ts";
import type { RecordKeeper } from "./record-keeper.ts";
import type { UsageRecorder } from "./usage-recorder.ts";

export interface UsageSegmentsOptions {
  readonly record: RecordKeeper;
  readonly recorder: Pick<UsageRecorder, "write">;
  readonly logger: Logger;
  readonly size: InstanceSize;
  readonly podLabels: () => Readonly<Record<string, string>>;
  readonly detach: AbortSignal;
}

/**
 * The bill of one pod's instance: a segment from the first start of a container to the last end in one VM, cut where
 * the instance is paused and resumed.
 *
 * A change is in memory at once, on disk before the API hears of it, and in the API when {@link flush} resolves. What a
 * crash keeps from the API, the next node agent writes, under the same name.
 */
export class UsageSegments {
  readonly #options: UsageSegmentsOptions;
  #writing: Promise<void> | undefined;
  #heldUntilMicros = 0;

  constructor(options: UsageSegmentsOptions) {
    this.#options = options;
  }

  /** What is billed now; undefined while nothing is. */
  get state(): SegmentRecord["state"] | undefined {
    return this.#options.record.value.segments.find((one) => one.endMicros === undefined)?.state;
  }

  /** Tells the API what an earlier node agent could not: a segment may be open for long. */
  writeOn(): void {
    if (this.#options.record.value.segments.some((one) => !one.isWritten)) this.#writeSoon();
  }

  /** A container has started; no change while a segment is open. */
  open(startMicros: number): void {
    if (this.state !== undefined) return;
    const { record } = this.#options;
    record.change({ segments: [...record.value.segments, this.#begin("Running", startMicros)] });
    this.#writeSoon();
  }

  /** The instance was paused, or goes on: the next segment begins where the open one ends. No change without one. */
  turn(state: SegmentRecord["state"], micros: number): void {
    if (this.state === undefined || this.state === state) return;
    const { record } = this.#options;
    const segments = record.value.segments.map((one) =>
      this.#end(one, micros, state === "Paused" ? "Paused" : "Resumed"),
    );
    const endMicros = segments.at(-1)?.endMicros ?? micros;
    record.change({ segments: [...segments, this.#begin(state, endMicros)] });
    this.#writeSoon();
  }

  /** The VM was held until now, though nothing ran in it: back-off is billed. */
  heldUntil(micros: number): void {
    this.#heldUntilMicros = micros;
  }

  /** Nothing runs any more since `endMicros`. */
  close(endMicros: number, endCause: string): void {
    if (this.state === undefined) return;
    const { record } = this.#options;
    record.change({ segments: record.value.segments.map((one) => this.#end(one, endMicros, endCause)) });
    this.#heldUntilMicros = 0;
    this.#writeSoon();
  }

  #begin(state: SegmentRecord["state"], startMicros: number): SegmentRecord {
    const { record, size, podLabels } = this.#options;
    const { segments, podUID } = record.value;
    const { cpuMilli, memoryMiB } = size;
    const name = `${podUID}-${segments.length}`;
    return { name, cpuMilli, memoryMiB, podLabels: podLabels(), state, startMicros, isWritten: false };
  }

  #end(segment: SegmentRecord, micros: number, endCause: string): SegmentRecord {
    if (segment.endMicros !== undefined) return segment;
    const endMicros = Math.max(segment.startMicros, micros, this.#heldUntilMicros);
    return { ...segment, endMicros, endCause, isWritten: false };
  }

  /** Resolves when the API has everything. Rejects when the record cannot be saved, or at the detach. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    const { detach, record, recorder } = this.#options;
    for (;;) {
      const next = record.value.segments.find((one) => !one.isWritten);
      if (next === undefined) return;
      if (next.endMicros === undefined) await record.save();
      // An end is told even if the host's disk is full: nothing may keep a pod from going.
      else await record.save().catch(() => record.saveSoon());
      await recorder.write(record.value, next, detach);
      const isSame = (one: typeof next): boolean => one.name === next.name && one.endMicros === next.endMicros;
      record.change({
        segments: record.value.segments.map((one) => (isSame(one) ? { ...one, isWritten: true } : one)),
      });
      record.saveSoon();
    }
  }

  #writeSoon(): void {
    const { logger, detach } = this.#options;
    // A write that is under way looks again before it ends.
    if (this.#writing !== undefined) return;
    this.#writing = this.#writeAll()
      .catch((error: unknown) => {
        // Whoever ends the pod flushes again, and that time waits for it.
        if (!detach.aborted) logger.warn({ reason: describeError(error) }, "a usage segment was not written");
      })
      .then(() => {
        this.#writing = undefined;
      });
  }
}
