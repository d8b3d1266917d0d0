import type { ServerResponse } from "node:http";
import type { Clock } from "@isopod/base";

/** What a watcher may have unread before the next write waits for it. */
const coalesceBytes = 256 * 1024;

/**
 * The response of a watch. Writes wait while the client does not read; one that reads nothing for `slowMs` is cut off:
 * it starts over from its last version, and the server's memory does not depend on it.
 */
export class WatchStream {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #slowMs: number;
  readonly #signal: AbortSignal;

  constructor(response: ServerResponse, clock: Clock, slowMs: number, signal: AbortSignal) {
    this.#response = response;
    this.#clock = clock;
    this.#slowMs = slowMs;
    this.#signal = signal;
  }

  /** Sends the headers at once: clients wait for them before they believe that the watch stands. */
  open(): void {
    this.#response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-cache, private" });
    this.#response.flushHeaders();
    // Small lines must not wait for each other's acknowledgement.
    this.#response.socket?.setNoDelay(true);
  }

  /** Lines that are known together go out together. Throws when the client is too slow or gone. */
  async write(lines: Iterable<Uint8Array>): Promise<void> {
    let pending: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const line of lines) {
      pending.push(line);
      sizeBytes += line.length;
      if (sizeBytes < coalesceBytes) continue;
      await this.#send(pending);
      pending = [];
      sizeBytes = 0;
    }
    if (pending.length > 0) await this.#send(pending);
  }

  end(): void {
    this.#response.end();
  }

  async #send(lines: readonly Uint8Array[]): Promise<void> {
    this.#signal.throwIfAborted();
    const [first] = lines;
    const bytes = lines.length === 1 && first !== undefined ? first : Buffer.concat(lines);
    if (this.#response.write(bytes)) return;
    await this.#drained();
  }

  async #drained(): Promise<void> {
    const stop = new AbortController();
    const drained = new Promise<boolean>((resolve) => this.#response.once("drain", () => resolve(true)));
    const slow = this.#clock.sleep(this.#slowMs, AbortSignal.any([stop.signal, this.#signal])).then(
      () => false,
      () => false,
    );
    const isDrained = await Promise.race([drained, slow]);
    stop.abort();
    if (isDrained) return;
    this.#response.destroy();
    this.#signal.throwIfAborted();
    throw new DOMException("the watcher reads too slowly", "AbortError");
  }
}
