import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

const retryMs = 10;
const attempts = 3000;

/** A QMP connection to a test's QEMU, one command at a time. */
export class Monitor implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface(socket)[Symbol.asyncIterator]();
  }

  /** Waits until QEMU has made the socket. */
  static async open(path: string): Promise<Monitor> {
    for (let attempt = 0; ; attempt++) {
      const socket = connect(path);
      try {
        await once(socket, "connect");
        const monitor = new Monitor(socket);
        await monitor.execute("qmp_capabilities");
        return monitor;
      } catch (error) {
        socket.destroy();
        if (attempt === attempts) throw error;
        await delay(retryMs);
      }
    }
  }

  /** The answer as it was written. */
  async execute(name: string, options: object = {}): Promise<string> {
    this.#socket.write(`${JSON.stringify({ execute: name, arguments: options })}\n`);
    for (let next = await this.#lines.next(); next.done !== true; next = await this.#lines.next()) {
      if (next.value.startsWith('{"return"')) return next.value;
      if (next.value.startsWith('{"error"')) throw new Error(`${name}: ${next.value}`);
    }
    throw new Error(`the monitor was closed during ${name}`);
  }

  /** Asks until the answer has `status`. */
  async until(query: string, status: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.execute(query);
      if (answer.includes(`"status": "${status}"`)) return;
      if (attempt === attempts || answer.includes('"status": "failed"')) throw new Error(`${query}: ${answer}`);
      await delay(retryMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
