import { EventEmitter, once } from "node:events";
import { type FileHandle, mkdir, open, readdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";

/**
 * One container attempt's output on the host, bounded, outliving the VM.
 *
 * A record is one line: `<RFC 3339 time> <stdout|stderr> <F|P> <offset> <text>`; `P` tells that the line goes on in the
 * next record. `offset` is the guest's ring offset after the chunk the record ends, `-` inside a chunk: the last one on
 * disk is where a restarted node agent asks the guest to continue, so that no byte is lost or written twice.
 *
 * Records go to segments `<attempt>.<number>.log`; old segments are deleted, never renamed, so that a follower keeps
 * its place.
 */
export interface LogOptions {
  /** A new segment begins beyond this; default 10 MiB. */
  readonly segmentBytes?: number;
  /** Segments kept; default 5. */
  readonly segments?: number;
  /** Where the guest's ring is to be read from when nothing of it was yet; default 0. */
  readonly from?: number;
}

export type LogStream = "stdout" | "stderr";

export interface ReadLogOptions {
  readonly isFollowing?: boolean;
  readonly tailLines?: number;
  readonly sinceMs?: number;
  readonly limitBytes?: number;
  readonly hasTimestamps?: boolean;
  /** Default: both, in the order they came. */
  readonly stream?: LogStream;
  readonly signal?: AbortSignal;
}

interface LogRecord {
  readonly time: string;
  readonly stream: LogStream;
  readonly isFull: boolean;
  readonly offset: number | undefined;
  readonly text: Buffer;
}

const newline = Buffer.from("\n");

/** Microseconds since the epoch → `2026-01-02T03:04:05.000006Z`. */
export function formatMicros(micros: number): string {
  const ms = Math.floor(micros / 1000);
  const rest = String(Math.floor(micros) % 1_000_000).padStart(6, "0");
  return `${new Date(ms).toISOString().slice(0, 19)}.${rest}Z`;
}

function parseRecord(line: Buffer): LogRecord | undefined {
  const head = /^(\S+) (stdout|stderr) ([FP]) (\d+|-) /.exec(line.subarray(0, 80).toString("latin1"));
  if (head === null) return undefined;
  return {
    time: head[1] ?? "",
    stream: head[2] === "stderr" ? "stderr" : "stdout",
    isFull: head[3] === "F",
    offset: head[4] === "-" ? undefined : Number(head[4]),
    text: line.subarray(head[0].length),
  };
}

export class ContainerLog {
  readonly #directory: string;
  readonly #attempt: number;
  readonly #segmentBytes: number;
  readonly #segments: number;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #file: FileHandle | undefined;
  #segment = 0;
  #sizeBytes = 0;
  #isClosed = false;
  #tail: Promise<void> = Promise.resolve();
  #nextOffset = 0;

  private constructor(directory: string, attempt: number, options: LogOptions) {
    this.#directory = directory;
    this.#attempt = attempt;
    this.#segmentBytes = options.segmentBytes ?? 10 * 1024 * 1024;
    this.#segments = options.segments ?? 5;
  }

  /** Opens the log for writing, continuing what is there. `directory` is the container's and is made when missing. */
  static async open(directory: string, attempt: number, options: LogOptions = {}): Promise<ContainerLog> {
    const log = new ContainerLog(directory, attempt, options);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    log.#segment = (await segmentsOf(directory, attempt)).at(-1) ?? 0;
    await log.#recover();
    log.#nextOffset = Math.max(log.#nextOffset, options.from ?? 0);
    log.#file = await open(log.#path(log.#segment), "a", 0o600);
    return log;
  }

  /** Opens what is on disk, for reading only. */
  static async openFinished(directory: string, attempt: number): Promise<ContainerLog> {
    const log = new ContainerLog(directory, attempt, {});
    log.#segment = (await segmentsOf(directory, attempt)).at(-1) ?? 0;
    log.#isClosed = true;
    return log;
  }

  /** Where the guest's ring is to be read from next. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** Writes one chunk the guest sent; resolves when it is in the file and followers may see it. */
  async append(stream: LogStream, bytes: Buffer, epochMicros: number, nextOffset: number): Promise<void> {
    const time = formatMicros(epochMicros);
    const parts: Buffer[] = [];
    for (let from = 0; from < bytes.length; ) {
      const end = bytes.indexOf(10, from);
      const isFull = end >= 0;
      const to = isFull ? end : bytes.length;
      const isLast = (isFull ? to + 1 : to) >= bytes.length;
      const head = `${time} ${stream} ${isFull ? "F" : "P"} ${isLast ? nextOffset : "-"} `;
      parts.push(Buffer.from(head, "latin1"), bytes.subarray(from, to), newline);
      from = isFull ? to + 1 : to;
    }
    const record = Buffer.concat(parts);
    const write = async (): Promise<void> => {
      if (this.#isClosed || this.#file === undefined) return;
      try {
        await this.#file.appendFile(record);
      } catch (error) {
        // A full disk may have taken a part: cut off, or what comes next would be read as its end.
        await this.#file.truncate(this.#sizeBytes);
        throw error;
      }
      this.#nextOffset = nextOffset;
      this.#sizeBytes += record.length;
      if (this.#sizeBytes > this.#segmentBytes) await this.#rotate();
      this.#changes.emit("change");
    };
    const done = this.#tail.then(write);
    this.#tail = done.catch(() => {});
    await done;
  }

  /** Ends the log: followers read to its end and stop. */
  async close(): Promise<void> {
    await this.#tail;
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#file?.close();
    this.#file = undefined;
    this.#changes.emit("change");
  }

  /** The output as clients want it: text with its line ends. */
  async *read(options: ReadLogOptions = {}): AsyncGenerator<Buffer> {
    const { stream, sinceMs, hasTimestamps = false } = options;
    const isWanted = (record: LogRecord): boolean =>
      (stream === undefined || record.stream === stream) &&
      (sinceMs === undefined || Date.parse(record.time) >= sinceMs);
    let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
    let skip = 0;
    if (options.tailLines !== undefined) {
      let total = 0;
      let isOpenLine = false;
      for await (const record of this.#records(false, options.signal)) {
        if (!isWanted(record)) continue;
        if (record.isFull) total += 1;
        isOpenLine = !record.isFull;
      }
      skip = Math.max(0, total + (isOpenLine ? 1 : 0) - options.tailLines);
    }
    const isLineStart = { stdout: true, stderr: true };
    for await (const record of this.#records(options.isFollowing === true, options.signal)) {
      if (!isWanted(record)) continue;
      if (skip > 0) {
        if (record.isFull) skip -= 1;
        continue;
      }
      const parts: Buffer[] = [];
      if (hasTimestamps && isLineStart[record.stream]) parts.push(Buffer.from(`${record.time} `, "latin1"));
      parts.push(record.text);
      if (record.isFull) parts.push(newline);
      isLineStart[record.stream] = record.isFull;
      const bytes = Buffer.concat(parts);
      yield bytes.length > left ? bytes.subarray(0, left) : bytes;
      left -= bytes.length;
      if (left <= 0) return;
    }
  }

  /** At most `maxBytes` and `maxLines` of the end, for FallbackToLogsOnError. */
  async readTail(maxLines: number, maxBytes: number): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.read({ tailLines: maxLines })) chunks.push(chunk);
    return Buffer.concat(chunks).subarray(-maxBytes).toString("utf8");
  }

  async *#records(isFollowing: boolean, signal: AbortSignal | undefined): AsyncGenerator<LogRecord> {
    let segment = (await segmentsOf(this.#directory, this.#attempt))[0];
    if (segment === undefined) return;
    let file = await open(this.#path(segment), "r");
    try {
      let rest = Buffer.alloc(0);
      const buffer = Buffer.alloc(64 * 1024);
      for (;;) {
        signal?.throwIfAborted();
        // Noted before the read: what is written after it is caught by the next round.
        const changed = new AbortController();
        const change =
          isFollowing && !this.#isClosed
            ? once(this.#changes, "change", {
                signal: signal === undefined ? changed.signal : AbortSignal.any([signal, changed.signal]),
              }).catch(() => {})
            : undefined;
        const wasLast = segment === this.#segment;
        const wasClosed = this.#isClosed;
        const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
        if (bytesRead > 0) {
          changed.abort();
          const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
          let from = 0;
          for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
            const record = parseRecord(bytes.subarray(from, end));
            if (record !== undefined) yield record;
            from = end + 1;
          }
          rest = bytes.subarray(from);
          continue;
        }
        if (!wasLast) {
          changed.abort();
          const next: number | undefined = (await segmentsOf(this.#directory, this.#attempt)).find(
            (one) => one > (segment ?? 0),
          );
          if (next === undefined) return;
          await file.close();
          segment = next;
          file = await open(this.#path(segment), "r");
          rest = Buffer.alloc(0);
          continue;
        }
        if (change === undefined || wasClosed) {
          changed.abort();
          return;
        }
        await change;
      }
    } finally {
      await file.close();
    }
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#segment += 1;
    this.#sizeBytes = 0;
    this.#file = await open(this.#path(this.#segment), "a", 0o600);
    for (const old of (await segmentsOf(this.#directory, this.#attempt)).slice(0, -this.#segments)) {
      await rm(this.#path(old), { force: true });
    }
  }

  /** Cuts what a crash left after the last whole chunk, and finds the offset to go on from. */
  async #recover(): Promise<void> {
    const segments = await segmentsOf(this.#directory, this.#attempt);
    for (const segment of segments.toReversed()) {
      const path = this.#path(segment);
      let position = 0;
      let goodBytes = 0;
      let offset: number | undefined;
      const file = await open(path, "r");
      try {
        for await (const line of wholeLines(file)) {
          position += line.length + 1;
          const record = parseRecord(line);
          if (record?.offset === undefined) continue;
          offset = record.offset;
          goodBytes = position;
        }
      } finally {
        await file.close();
      }
      await truncate(path, goodBytes);
      if (segment === this.#segment) this.#sizeBytes = goodBytes;
      if (offset !== undefined) {
        this.#nextOffset = offset;
        return;
      }
    }
  }

  #path(segment: number): string {
    return join(this.#directory, `${this.#attempt}.${segment}.log`);
  }
}

async function* wholeLines(file: FileHandle): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of file.createReadStream({ autoClose: false })) {
    const bytes = Buffer.concat([rest, chunk as Buffer]);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      yield bytes.subarray(from, end);
      from = end + 1;
    }
    rest = bytes.subarray(from);
  }
}

async function segmentsOf(directory: string, attempt: number): Promise<number[]> {
  const names = await readdir(directory).catch(() => [] as string[]);
  return names
    .map((name) => /^(\d+)\.(\d+)\.log$/.exec(name))
    .filter((match) => match !== null && Number(match[1]) === attempt)
    .map((match) => Number(match?.[2]))
    .toSorted((a, b) => a - b);
}

/** Deletes the logs of attempts before the last `kept` ones. */
export async function pruneAttempts(directory: string, currentAttempt: number, kept = 2): Promise<void> {
  for (const name of await readdir(directory).catch(() => [] as string[])) {
    const match = /^(\d+)\.\d+\.log$/.exec(name);
    if (match !== null && Number(match[1]) <= currentAttempt - kept) await rm(join(directory, name), { force: true });
  }
}
