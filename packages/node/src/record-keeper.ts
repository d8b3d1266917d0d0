import { backoffDelayMs, type Clock, describeError, type Logger } from "@isopod/base";
import type { InstanceRecord, InstanceRecords } from "./instance-record.ts";

export interface RecordKeeperOptions {
  readonly records: InstanceRecords;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The record of one pod's instance in memory and on disk.
 *
 * Until the first container runs, a save is a rename without a sync: it survives `kill -9` of the node agent, and after
 * a power loss there is no VM it could speak of, and nothing to bill. From the first usage segment on every save is
 * synced, and before the API hears of a segment: what was sold is not forgotten by either.
 */
export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  #value: InstanceRecord;
  #tail: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #saving: Promise<void> | undefined;
  /** How often {@link saveSoon} was called. */
  #changes = 0;
  readonly #closed = new AbortController();

  constructor(value: InstanceRecord, options: RecordKeeperOptions) {
    this.#value = value;
    this.#options = options;
  }

  get value(): InstanceRecord {
    return this.#value;
  }

  /** In memory; {@link save} or {@link saveSoon} brings it to the disk. */
  change(fields: Partial<InstanceRecord>): void {
    this.#value = { ...this.#value, ...fields };
  }

  /** Resolves when the record as it is now is on disk. Saves that wait for the same turn are one. */
  async save(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#queued ??= this.#tail.then(async () => {
      this.#queued = undefined;
      await this.#options.records.save(this.#value, { isDurable: this.#value.segments.length > 0 });
    });
    const write = this.#queued;
    this.#tail = write.catch(() => {});
    await write;
  }

  /** For news that the guest or the API would tell again after a crash: goes on trying, so that a full disk ends nothing. */
  saveSoon(): void {
    if (this.#closed.signal.aborted) return;
    this.#changes += 1;
    this.#saving ??= this.#keepSaving().finally(() => {
      this.#saving = undefined;
    });
  }

  /**
   * Resolves when no save is under way, and none will be. What could not be written by then, the next node agent learns
   * from the guest and from the API.
   */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#saving;
    await this.#tail;
  }

  async #keepSaving(): Promise<void> {
    const { clock, logger } = this.#options;
    for (let saved = 0, failures = 0; saved !== this.#changes; ) {
      const changes = this.#changes;
      try {
        await this.save();
        saved = changes;
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        const reason = describeError(error);
        if (failures === 0) logger.warn({ reason }, "the instance's record was not saved; trying again");
        const delayMs = backoffDelayMs(failures++, { initialMs: 200, maxMs: 10_000 });
        await clock.sleep(delayMs, this.#closed.signal).catch(() => {});
      }
    }
  }
}
