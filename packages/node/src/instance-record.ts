import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode, writeFileAtomically } from "@isopod/base";

/** One attempt at running a container, as the node agent must remember it over its own death. */
export interface ContainerAttempt {
  readonly id: string;
  readonly startedMicros: number;
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

/** The open or last usage segment. */
export interface SegmentRecord {
  readonly name: string;
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
  readonly version: 1;
  readonly podUID: string;
  readonly namespace: string;
  readonly name: string;
  readonly userId: number;
  readonly vmCount: number;
  readonly containers: readonly ContainerRecord[];
  readonly segments: readonly SegmentRecord[];
  readonly stages: Readonly<Record<string, number>>;
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

  /** Every record on disk; a directory without one was being made when the node agent died, and is removed. */
  async load(): Promise<readonly InstanceRecord[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    const records: InstanceRecord[] = [];
    for (const podUID of await readdir(this.directory)) {
      try {
        records.push(JSON.parse(await readFile(join(this.directory, podUID, "record.json"), "utf8")) as InstanceRecord);
      } catch (error) {
        if (systemErrorCode(error) !== "ENOENT") throw error;
        await rm(this.directoryOf(podUID), { recursive: true, force: true });
      }
    }
    return records;
  }

  async save(record: InstanceRecord): Promise<void> {
    const directory = this.directoryOf(record.podUID);
    // Searchable, not listable: the VM's own user reaches its sockets through it.
    await mkdir(directory, { recursive: true, mode: 0o711 });
    await writeFileAtomically(join(directory, "record.json"), `${JSON.stringify(record)}\n`, 0o600);
  }

  async remove(podUID: string): Promise<void> {
    await rm(this.directoryOf(podUID), { recursive: true, force: true });
  }
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
