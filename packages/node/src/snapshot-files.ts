import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { PodTemplate } from "@isopod/api";
import { describeError, type Logger, systemErrorCode, writeFileAtomically } from "@isopod/base";
import type { Vmm } from "@isopod/vmm";
import type { SavedContainer } from "./instance-record.ts";

const recordVersion = 1;
/** Written last: a snapshot without it was never whole. */
const recordFile = "instance.json";
/** Of a uid's 36 characters, so many name a directory: the sockets of the machine that makes a snapshot are below it. */
const nameCharacters = 23;
const unfinished = ".unfinished";

/** What a snapshot's files do not tell, and a clone needs. */
export interface SnapshotRecord {
  readonly version: typeof recordVersion;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** What a clone must be like. */
  readonly podTemplate: PodTemplate;
  readonly containers: readonly SavedContainer[];
}

/** The snapshots of one node on disk: `DIRECTORY/UID/`, of the uid its first 23 characters. */
export class SnapshotFiles {
  readonly #directory: string;
  readonly #vmm: Pick<Vmm, "end">;

  constructor(directory: string, vmm: Pick<Vmm, "end">) {
    this.#directory = directory;
    this.#vmm = vmm;
  }

  directoryOf(uid: string): string {
    return join(this.#directory, uid.slice(0, nameCharacters));
  }

  /**
   * The whole ones. What a crash left of others is ended and removed; what cannot be now stays for the next start, as
   * does one that cannot be read.
   */
  async load(logger: Logger): Promise<readonly SnapshotRecord[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const records: SnapshotRecord[] = [];
    for (const name of await readdir(this.#directory)) {
      const directory = join(this.#directory, name);
      try {
        const record = await readRecord(directory);
        if (record === undefined) await this.#clearAway(directory);
        else records.push(record);
      } catch (error) {
        logger.warn({ directory, reason: describeError(error) }, "a snapshot could not be read or cleared away");
      }
    }
    return records;
  }

  /** Makes a snapshot whole whose machine was saved into its directory. */
  async finish(record: Omit<SnapshotRecord, "version">): Promise<void> {
    const text = `${JSON.stringify({ version: recordVersion, ...record })}\n`;
    await writeFileAtomically(join(this.directoryOf(record.uid), recordFile), text, 0o600);
  }

  /** Undefined when there is none, or none that is whole. */
  async read(uid: string): Promise<SnapshotRecord | undefined> {
    const record = await readRecord(this.directoryOf(uid));
    return record?.uid === uid ? record : undefined;
  }

  async remove(uid: string): Promise<void> {
    const directory = this.directoryOf(uid);
    // The record first: half a snapshot is none.
    await rm(join(directory, recordFile), { force: true });
    for (const path of [directory, `${directory}${unfinished}`]) await this.#clearAway(path);
  }

  /** Throws, and leaves the machine's record, when something of the machine that makes it could not be removed. */
  async #clearAway(directory: string): Promise<void> {
    await this.#vmm.end(join(directory, "machine"));
    await rm(directory, { recursive: true, force: true });
  }
}

async function readRecord(directory: string): Promise<SnapshotRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(join(directory, recordFile), "utf8")) as SnapshotRecord;
    return record.version === recordVersion ? record : undefined;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
