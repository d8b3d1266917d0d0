import type { Socket } from "node:net";
import { parseJson, readFailure, readMark, readStarted } from "./answers.ts";
import {
  type ContainerSpec,
  type ContainerStarted,
  frameTypes,
  type GuestConfiguration,
  type GuestVolume,
  type OutputMark,
} from "./contract.ts";
import { type Frame, FrameDecoder } from "./frame.ts";
import { GuestError } from "./guest-error.ts";
import { Greeting } from "./handshake.ts";
import type { OutputChunk } from "./output.ts";

/** Everything up to the first container, at once. */
export interface GuestStart {
  readonly configuration: GuestConfiguration;
  readonly volumes: readonly GuestVolume[];
  readonly container: ContainerSpec;
}

/** The agent stops after 64 KiB and what it had read. */
const maxOutputBytes = 128 * 1024;
const handOverTimeoutMs = 30_000;

/** START as the agent reads it: a line with the length in hexadecimal digits, then JSON. */
export function encodeStart(start: GuestStart): Buffer {
  const body = Buffer.from(JSON.stringify(start));
  return Buffer.concat([Buffer.from(`\nISOPOD/1 START ${body.length.toString(16).padStart(8, "0")}\n`), body]);
}

/**
 * The first session of a VM before it becomes HTTP/2, as `agent/src/opening.rs` describes it: after START the agent
 * answers with frames, first whether the container runs, then its output until the hand-over.
 */
export class Opening {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #started = Promise.withResolvers<ContainerStarted>();
  /** Resolves with the bytes behind the END frame. */
  readonly #ended = Promise.withResolvers<Buffer>();
  #hasEnded = false;
  #change = Promise.withResolvers<void>();
  readonly #chunks: OutputChunk[] = [];
  #outputBytes = 0;
  #mark: OutputMark | undefined;
  #id: string | undefined;
  readonly #onData = (data: Buffer): void => this.#receive(data);
  readonly #onClose = (): void => this.#fail(disconnected());

  constructor(socket: Socket, start: GuestStart) {
    this.#socket = socket;
    this.#started.promise.catch(() => {});
    this.#ended.promise.catch(() => {});
    socket.on("data", this.#onData);
    socket.once("close", this.#onClose);
    socket.write(encodeStart(start));
    socket.resume();
    // It closed before anybody listened.
    if (socket.destroyed) this.#fail(disconnected());
  }

  /** Rejects with what the agent refused. */
  get started(): Promise<ContainerStarted> {
    return this.#started.promise;
  }

  /** Resolves when the agent has said that it will say no more. */
  get ended(): Promise<Buffer> {
    return this.#ended.promise;
  }

  /** The container that was started. */
  get id(): string | undefined {
    return this.#id;
  }

  get hasOutput(): boolean {
    return this.#chunks.length > 0;
  }

  /** Resolves at the next output, or the end. */
  get changed(): Promise<void> {
    return this.#change.promise;
  }

  /** The output behind byte `from` as it comes, until the hand-over; `from` then is where to go on. */
  async *output(from: number): AsyncGenerator<OutputChunk, number, undefined> {
    for (let index = 0; ; ) {
      const chunk = this.#chunks[index];
      if (chunk !== undefined) {
        index += 1;
        const skipped = chunk.data.length - (chunk.nextOffset - from);
        if (chunk.nextOffset <= from) continue;
        from = chunk.nextOffset;
        yield skipped > 0 ? { ...chunk, data: chunk.data.subarray(skipped) } : chunk;
      } else if (this.#hasEnded) {
        return from;
      } else {
        await this.changed;
      }
    }
  }

  /** Ends the opening: resolves with the bytes of the session that follows. */
  async handOver(): Promise<Buffer> {
    const greeting = new Greeting();
    this.#socket.write(greeting.next(0));
    const timer = setTimeout(() => {
      this.#fail(disconnected());
      this.#socket.destroy();
    }, handOverTimeoutMs);
    try {
      let rest = greeting.push(await this.#ended.promise);
      while (rest === undefined) rest = greeting.push(await this.#read());
      return rest;
    } finally {
      clearTimeout(timer);
      this.#socket.off("close", this.#onClose);
    }
  }

  async #read(): Promise<Buffer> {
    return await new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#socket.pause();
        this.#socket.off("data", onData);
        this.#socket.off("close", onClose);
      };
      const onData = (data: Buffer): void => {
        settle();
        resolve(data);
      };
      const onClose = (): void => {
        settle();
        reject(disconnected());
      };
      this.#socket.once("data", onData);
      this.#socket.once("close", onClose);
      this.#socket.resume();
    });
  }

  #receive(data: Buffer): void {
    try {
      for (const frame of this.#decoder.push(data)) {
        if (frame.type === frameTypes.end && this.#id !== undefined) return this.#end();
        this.#take(frame);
      }
    } catch (error) {
      this.#fail(error);
      this.#socket.destroy();
    }
  }

  #take(frame: Frame): void {
    if (frame.type === frameTypes.refused && this.#id === undefined) throw readFailure(frame.payload.toString());
    if (frame.type === frameTypes.started && this.#id === undefined) {
      const started = readStarted(parseJson(frame.payload.toString()));
      this.#id = started.id;
      return this.#started.resolve(started);
    }
    if (frame.type === frameTypes.mark && this.#id !== undefined) {
      this.#mark = readMark(parseJson(frame.payload.toString()));
      return;
    }
    const isOutput = frame.type === frameTypes.stdout || frame.type === frameTypes.stderr;
    const nextOffset = this.#outputBytes + frame.payload.length;
    if (!isOutput || this.#mark?.nextOffset !== nextOffset || nextOffset > maxOutputBytes) {
      throw new GuestError("the agent's answer to START does not add up", { code: "BadAnswer" });
    }
    this.#outputBytes = nextOffset;
    const stream = frame.type === frameTypes.stdout ? "stdout" : "stderr";
    this.#chunks.push({ ...this.#mark, stream, data: Buffer.from(frame.payload) });
    this.#mark = undefined;
    this.#tell();
  }

  #end(): void {
    this.#socket.pause();
    this.#socket.off("data", this.#onData);
    this.#hasEnded = true;
    this.#ended.resolve(this.#decoder.takeRest());
    this.#tell();
  }

  #fail(error: unknown): void {
    this.#socket.off("data", this.#onData);
    this.#hasEnded = true;
    this.#started.reject(error);
    this.#ended.reject(error);
    this.#tell();
  }

  #tell(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers<void>();
    resolve();
  }
}

function disconnected(): GuestError {
  return new GuestError("the agent's session ended while the first container was started", {
    code: "Disconnected",
    remedy: "Connect again; if that fails, the VM has ended.",
  });
}
