import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import { parseJson, readExit } from "./answers.ts";
import { type ExitStatus, frameTypes } from "./contract.ts";
import { encodeFrame, FrameDecoder, stdinFrames } from "./frame.ts";
import { GuestError } from "./guest-error.ts";

export interface StreamChunk {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
}

/**
 * Input and output of an exec or of an attached container.
 *
 * Read `output` to its end: what is not read holds the program up, and `exit` comes behind it.
 */
export class AttachStream implements AsyncDisposable {
  readonly #stream: ClientHttp2Stream;
  readonly #exit = Promise.withResolvers<ExitStatus>();
  #isInputEnded = false;
  #isRead = false;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    // Told to whoever awaits `exit`; unawaited, it must not end the process.
    this.#exit.promise.catch(() => {});
    // Whoever reads the output comes to the exit in its turn, which may be after the stream's end.
    stream.once("close", () => {
      if (!this.#isRead) this.#exit.reject(this.#brokenOff(undefined));
    });
  }

  /** How the program ended; rejects with `Disconnected` when the stream broke off before. */
  get exit(): Promise<ExitStatus> {
    return this.#exit.promise;
  }

  /** Resolves when the data is on its way and more may be written. Input after the program's end is dropped. */
  async writeStdin(data: Uint8Array | string): Promise<void> {
    if (this.#isInputEnded) throw new TypeError("the input has ended");
    for (const frame of stdinFrames(typeof data === "string" ? Buffer.from(data) : data)) await this.#write(frame);
  }

  /** Closes the program's standard input. */
  async endStdin(): Promise<void> {
    if (this.#isInputEnded) return;
    this.#isInputEnded = true;
    await this.#write(encodeFrame(frameTypes.end, Buffer.of(frameTypes.stdin)));
  }

  /** Tells the terminal its size. */
  async resize(size: { readonly columns: number; readonly rows: number }): Promise<void> {
    const { columns, rows } = size;
    await this.#write(encodeFrame(frameTypes.resize, JSON.stringify({ columns, rows })));
  }

  /** What the program writes, until it has ended. To be read once. */
  async *output(): AsyncGenerator<StreamChunk, void, undefined> {
    const decoder = new FrameDecoder();
    this.#isRead = true;
    try {
      for await (const data of this.#stream) {
        for (const frame of decoder.push(data)) {
          if (frame.type === frameTypes.exit) {
            this.#exit.resolve(readExit(parseJson(frame.payload.toString())));
            return;
          }
          if (frame.type !== frameTypes.stdout && frame.type !== frameTypes.stderr) {
            throw new GuestError(`the agent sent a frame of type ${frame.type}`, { code: "BadAnswer" });
          }
          yield { stream: frame.type === frameTypes.stdout ? "stdout" : "stderr", data: frame.payload };
        }
      }
      throw this.#brokenOff(undefined);
    } catch (cause) {
      const error = cause instanceof GuestError ? cause : this.#brokenOff(cause);
      this.#exit.reject(error);
      throw error;
    } finally {
      // For a reader who stops early.
      this.#exit.reject(this.#brokenOff(undefined));
      await this.close();
    }
  }

  /** Ends the stream; an exec's program that is still running is killed. */
  async close(): Promise<void> {
    if (this.#stream.destroyed) return;
    this.#stream.destroy();
    await once(this.#stream, "close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(frame: Buffer): Promise<void> {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    if (this.#stream.write(frame)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off("drain", done);
        this.#stream.off("close", done);
        resolve();
      };
      this.#stream.on("drain", done);
      this.#stream.on("close", done);
    });
  }

  #brokenOff(cause: unknown): GuestError {
    return new GuestError("the stream broke off before the program's end", { code: "Disconnected", cause });
  }
}
