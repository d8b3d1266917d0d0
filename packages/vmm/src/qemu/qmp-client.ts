import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { VmmError } from "../errors.ts";
import { streamsOf } from "./child-streams.ts";
import type { MonitorRequest } from "./command-line.ts";
import { encodeCommand, LineSplitter, parseMessage, type QmpMessage } from "./qmp-codec.ts";

export interface QmpOptions {
  /** How long connecting, greeting and each command may take; default 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Commands that follow the negotiation without a pause; `connect` fails with the first that is refused. */
  readonly first?: readonly MonitorRequest[];
}

type EventListener = (name: string, data: Readonly<Record<string, unknown>>) => void;

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * One QMP session. A QEMU socket serves one client at a time: a second one is accepted by the kernel
 * but greeted only when the first is gone.
 */
export class QmpClient {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #splitter = new LineSplitter();
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<EventListener>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #greeted = Promise.withResolvers<void>();
  #nextId = 1;
  #error: Error | undefined;

  private constructor(socket: Socket, path: string, timeoutMs: number) {
    this.#socket = socket;
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    // Unheard when the session ends before anyone waits for it.
    this.#greeted.promise.catch(() => {});
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => {
      this.#error ??= error;
    });
    socket.on("close", () => this.#onClose());
  }

  /** Connects, awaits the greeting and leaves negotiation mode. Throws `VmmError` `MonitorFailed` or `BootTimeout`. */
  static async connect(path: string, options: QmpOptions = {}): Promise<QmpClient> {
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? 10_000;
    const client = new QmpClient(connect({ path }), path, timeoutMs);
    const timer = setTimeout(() => {
      client.#fail(
        new VmmError(`the monitor at ${path} sent no greeting within ${timeoutMs} ms`, {
          code: "BootTimeout",
          stage: "boot",
          object: path,
          remedy: "The host may be overloaded, or another process holds the monitor; try again.",
        }),
      );
    }, timeoutMs);
    const abort = () => client.#fail(options.signal?.reason);
    options.signal?.addEventListener("abort", abort);
    try {
      // Written ahead of the greeting: a monitor reads them as soon as it is up, and nobody waits for a round trip.
      const commands = [{ command: "qmp_capabilities", args: {} }, ...(options.first ?? [])];
      // Later than the greeting's own time-out, which says more.
      const answers = commands.map(async ({ command, args }) => await client.execute(command, args, timeoutMs * 2));
      await Promise.all([client.#greeted.promise, ...answers]);
      return client;
    } catch (error) {
      client.close();
      options.signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
    }
  }

  /** Settles when the session is over, whoever ended it. Never rejects. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Calls `listener` for each event from now on. */
  onEvent(listener: EventListener): void {
    this.#listeners.add(listener);
  }

  /** Runs one command and returns its raw answer, which the caller validates. Throws `VmmError` `MonitorFailed`. */
  async execute(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    timeoutMs = this.#timeoutMs,
  ): Promise<unknown> {
    return await this.#request(command, timeoutMs, (id) => void this.#socket.write(encodeCommand(id, command, args)));
  }

  async #request(command: string, timeoutMs: number, send: (id: number) => void | Promise<void>): Promise<unknown> {
    if (this.#socket.destroyed) throw this.#lost(command);
    const id = this.#nextId++;
    return await new Promise<unknown>((resolve, reject) => {
      const give = (error: unknown): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
        reject(error);
      };
      const timer = setTimeout(
        () => give(this.#failure(`the monitor did not answer ${command} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.#pending.set(id, { command, resolve, reject, timer });
      void Promise.resolve(send(id)).catch(give);
    });
  }

  /**
   * Has the launcher make the file `path` and hand it to the monitor, which then knows it as `name` (`getfd`): the only
   * way in for a descriptor once the monitor runs, and one that Node lacks.
   */
  async sendNewFile(launcherPath: string, name: string, path: string): Promise<void> {
    await this.#request("getfd", this.#timeoutMs, async (id) => {
      const child = spawn(launcherPath, ["send", encodeCommand(id, "getfd", { fdname: name }), path], {
        stdio: ["ignore", "ignore", "pipe", this.#socket],
      });
      // Node takes a socket that a child inherits for the child's alone, and stops reading it.
      this.#socket.resume();
      const stderr = streamsOf(child)?.[2];
      const said = stderr instanceof Readable ? text(stderr) : Promise.resolve("");
      const [exitCode] = await once(child, "close");
      if (exitCode !== 0) throw this.#failure(`a file could not be handed to the monitor: ${(await said).trim()}`);
    });
  }

  /** Ends the session; the monitor lives on. */
  close(): void {
    this.#socket.destroy();
  }

  /** The session no longer keeps this process alive. */
  unref(): void {
    this.#socket.unref();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#dispatch(parseMessage(line));
    } catch (cause) {
      // A monitor that stops speaking its protocol may be in a guest's hands; nothing it says counts any more.
      this.#fail(this.#failure("the monitor broke its protocol", cause));
    }
  }

  #dispatch(message: QmpMessage): void {
    if (message.type === "greeting") return this.#greeted.resolve();
    if (message.type === "event") {
      for (const listener of this.#listeners) listener(message.name, message.data);
      return;
    }
    if (message.id === undefined) return;
    const pending = this.#pending.get(message.id);
    // An answer that came after its time-out.
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if (message.type === "return") pending.resolve(message.value);
    else pending.reject(this.#failure(`the monitor refused ${pending.command}: ${message.description}`));
  }

  #fail(error: unknown): void {
    this.#error ??= error instanceof Error ? error : new Error(String(error));
    this.#socket.destroy();
  }

  #onClose(): void {
    const cause = this.#error;
    // Before the commands that follow from it: whoever connects is told why.
    this.#greeted.reject(cause instanceof VmmError ? cause : this.#failure("the monitor's socket closed", cause));
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(this.#lost(pending.command));
    }
    this.#pending.clear();
    this.#closed.resolve();
  }

  #lost(command: string): VmmError {
    return this.#failure(`the monitor was gone before it answered ${command}`, this.#error);
  }

  #failure(what: string, cause?: unknown): VmmError {
    return new VmmError(`${what} (${this.#path})`, {
      code: "MonitorFailed",
      stage: "boot",
      object: this.#path,
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
