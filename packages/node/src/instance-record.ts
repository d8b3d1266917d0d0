import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode, writeFileAtomically } from "@isopod/base";
import { NodeError } from "./node-error.ts";

/** Changes with the meaning of a record's fields. A record of version 2 differs only in that nothing was ever paused. */
export const recordVersion = 3;

/** One attempt at running a container, as the node agent must remember it over its own death. */
export interface ContainerAttempt {
  readonly id: string;
  /** Number of the VM it ran in: an init container that is done in one VM is not in the next. */
  readonly vm: number;
  readonly startedMicros: number;
  /** Where the output begins that is this instance's own: what a clone's original wrote is not. Default 0. */
  readonly outputFrom?: number;
  readonly exit?: {
    readonly exitCode: number;
    readonly signal: number;
    readonly reason: string;
    readonly message: string;
    readonly startedMicros: number;
    readonly finishedMicros: number;
  };
}

export interface ContainerRecord {
  readonly name: string;
  readonly restartCount: number;
  readonly current?: ContainerAttempt;
  readonly previous?: ContainerAttempt;
  readonly imageDigest: string;
}

/** A container as it was when its machine was saved. */
export interface SavedContainer extends ContainerRecord {
  /** Its output up to here was the original's. */
  readonly outputFrom: number;
}

/** What an instance that was cloned knows of its origin. */
export interface CloneRecord {
  readonly snapshotUID: string;
  /** What its VM was forked with; absent once that is taken up, and when the instance began anew without it. */
  readonly containers?: readonly SavedContainer[];
}

/** One stretch of billed time, with all that its API object needs: the pod may be gone when it is written. */
export interface SegmentRecord {
  readonly name: string;
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly podLabels: Readonly<Record<string, string>>;
  readonly state: "Running" | "Paused";
  readonly startMicros: number;
  readonly endMicros?: number;
  readonly endCause?: string;
  /** The API has this state. */
  readonly isWritten: boolean;
}

/**
 * What the node agent knows of one pod's instance and cannot learn again from the API or the guest: written before the
 * thing it speaks of is relied on, so that `kill -9` at any moment loses nothing.
 */
export interface InstanceRecord {
  readonly version: typeof recordVersion;
  readonly podUID: string;
  readonly namespace: string;
  readonly name: string;
  readonly userId: number;
  readonly vmCount: number;
  readonly containers: readonly ContainerRecord[];
  readonly segments: readonly SegmentRecord[];
  readonly stages: Readonly<Record<string, number>>;
  readonly clone?: CloneRecord;
  /** Set once everything the instance held is released; only record and logs remain. */
  readonly isReleased: boolean;
}

/** The instances' directories of one node: `DIRECTORY/POD-UID/{record.json, logs/, vm/, scratch.qcow2}`. */
export class InstanceRecords {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  directoryOf(podUID: string): string {
    return join(this.directory, podUID);
  }

  /**
   * Every record on disk. A directory without a readable one was being made when the node agent died, or holds what a
   * power loss left of one: `clearAway` is to end what may still run from it, then it is removed.
   */
  async load(clearAway: (directory: string) => Promise<boolean>): Promise<readonly InstanceRecord[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    const records: InstanceRecord[] = [];
    for (const entry of await readdir(this.directory, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const record = await this.read(entry.name);
      if (record === undefined) {
        // What cannot be cleared away now is tried again at the next start, and keeps no other instance waiting.
        if (await clearAway(this.directoryOf(entry.name))) await this.remove(entry.name);
      } else records.push(record);
    }
    return records;
  }

  /** Undefined when there is none, or none that can be read. */
  async read(podUID: string): Promise<InstanceRecord | undefined> {
    try {
      const record = JSON.parse(await readFile(join(this.directoryOf(podUID), "record.json"), "utf8")) as StoredRecord;
      if (record.podUID !== podUID) return undefined;
      if (record.version === recordVersion) return record;
      if (record.version === 2) return upgrade(record);
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
      throw error;
    }
    // Its VM may run: to take it for rubbish would end somebody's instance and open its bill twice.
    throw new NodeError(`the record of instance ${podUID} was written by another version of Isopod`, {
      code: "Internal",
      stage: "node agent",
      object: this.directoryOf(podUID),
      remedy: "Start that version, remove the instance with it, and then upgrade.",
    });
  }

  /** Replaced whole or not at all, whatever kills this process; with `isDurable` also when the power fails. */
  async save(record: InstanceRecord, options: { readonly isDurable: boolean }): Promise<void> {
    const directory = this.directoryOf(record.podUID);
    const path = join(directory, "record.json");
    const text = `${JSON.stringify(record)}\n`;
    const write = async (): Promise<void> => {
      if (options.isDurable) return await writeFileAtomically(path, text, 0o600);
      // In one go: a start waits for this, and five turns through the thread pool took it 3 to 6 ms. Nothing here waits
      // for the disk.
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    };
    try {
      await write();
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
      // Searchable, not listable: the VM's own user reaches its sockets through it.
      mkdirSync(directory, { recursive: true, mode: 0o711 });
      await write();
    }
  }

  async remove(podUID: string): Promise<void> {
    await rm(this.directoryOf(podUID), { recursive: true, force: true });
  }
}

/** As it may be on disk. */
type StoredRecord = InstanceRecord | RecordBeforePauses;

interface RecordBeforePauses extends Omit<InstanceRecord, "version" | "segments"> {
  readonly version: 2;
  readonly segments: readonly Omit<SegmentRecord, "state">[];
}

function upgrade(record: RecordBeforePauses): InstanceRecord {
  const segments = record.segments.map((one) => ({ ...one, state: "Running" as const }));
  return { ...record, version: recordVersion, segments };
}

/** Gives every instance a host user of its own; ids are free again when the instance is released. */
export class UserIds {
  readonly #first: number;
  readonly #count: number;
  readonly #taken = new Set<number>();
  #next: number;

  constructor(first: number, count: number) {
    this.#first = first;
    this.#count = count;
    this.#next = first;
  }

  take(userId: number): void {
    this.#taken.add(userId);
  }

  /** The next free id in turn, so that a released one rests as long as possible; undefined when all are taken. */
  allocate(): number | undefined {
    for (let tried = 0; tried < this.#count; tried++) {
      const candidate = this.#next;
      this.#next = this.#first + ((this.#next + 1 - this.#first) % this.#count);
      if (this.#taken.has(candidate)) continue;
      this.#taken.add(candidate);
      return candidate;
    }
    return undefined;
  }

  release(userId: number): void {
    this.#taken.delete(userId);
  }
}
