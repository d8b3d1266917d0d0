import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { isAbort, type Logger, silentLogger, systemErrorCode } from "@isopod/base";
import type { ContainerStarted } from "./contract.ts";
import { GuestClient } from "./guest-client.ts";
import { GuestError } from "./guest-error.ts";
import { filler, Greeting, repeatDelaysMs } from "./handshake.ts";
import { type GuestStart, Opening } from "./opening.ts";

export interface ConnectOptions {
  /** Unix socket of QEMU's chardev behind the port `isopod.agent`. */
  readonly socketPath: string;
  readonly logger?: Logger;
  /** How long an agent may take to answer, booting included; default 30,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** The agent was saved in the middle of a session, and waits for its host: the first HELLO tells it otherwise. */
  readonly isSessionDead?: boolean;
}

/** Longer than an agent takes for its first frame on a busy host under emulation. */
const sessionBeginsMs = 5000;
/** Between two attempts to open a socket that QEMU has not made yet, or has taken away. */
const socketRetryMs = 20;

/**
 * Opens a session with the agent of a VM, waiting until it has booted. One at a time: QEMU serves one connection of
 * its socket. Containers do not notice sessions coming and going.
 *
 * Throws {@link GuestError} `Unreachable` when no agent answers in time, or the signal's reason.
 */
export async function connectGuest(options: ConnectOptions): Promise<GuestClient> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const giveUpAt = performance.now() + timeoutMs;
  for (;;) {
    const client = (
      await greetGuest({ ...options, timeoutMs: Math.max(1, Math.ceil(giveUpAt - performance.now())) })
    ).session();
    // The guest's kernel may hear late that the host before this one has gone, and the agent takes that for this one's
    // end: such a session never begins, and nobody would answer in it.
    const hasBegun = await client.hasBegun(sessionBeginsMs);
    if (options.signal?.aborted === true) {
      await client[Symbol.asyncDispose]();
      throw options.signal.reason;
    }
    if (hasBegun || performance.now() + sessionBeginsMs > giveUpAt) return client;
    await client[Symbol.asyncDispose]();
  }
}

/** Waits until the agent answers, and says no more. Throws as {@link connectGuest}. */
export async function greetGuest(options: ConnectOptions): Promise<GuestLine> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    return new GuestLine(await greetUntilHeard(options, signal), options.logger ?? silentLogger);
  } catch (cause) {
    throw greetingFailure(options, timeoutMs, cause);
  }
}

/** An agent that waits for what comes first on its line: a session, or the start of an instance. */
export class GuestLine implements Disposable {
  readonly #socket: Socket;
  readonly #logger: Logger;

  constructor(socket: Socket, logger: Logger) {
    this.#socket = socket;
    this.#logger = logger;
    // A line that breaks is found so by whoever uses it.
    socket.on("error", () => {});
  }

  session(): GuestClient {
    return new GuestClient(this.#socket, this.#logger);
  }

  /**
   * Makes a VM that is nobody's yet an instance, and starts its first container: the short way for a start, with the
   * effect of `configure`, `putVolumes` and `startContainer`. `client.output` has what the container says before
   * anything else of it is done.
   *
   * Throws what the agent refused, or `Disconnected`; go on with `connectGuest` then: `info` tells whether the VM is
   * configured. An aborted signal ends the line.
   */
  async start(
    start: GuestStart,
    signal?: AbortSignal,
  ): Promise<{ readonly client: GuestClient; readonly started: ContainerStarted }> {
    const onAbort = (): void => void this.#socket.destroy();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const opening = new Opening(this.#socket, start);
      const started = await opening.started;
      return { client: new GuestClient(this.#socket, this.#logger, opening), started };
    } catch (error) {
      this.#socket.destroy();
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Hangs up: for a VM that is to be saved before anything is said to it. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** What a greeting that failed is told as; the reason of the caller's own signal is thrown. */
function greetingFailure(options: ConnectOptions, timeoutMs: number, cause: unknown): unknown {
  options.signal?.throwIfAborted();
  if (!isAbort(cause)) return cause;
  return new GuestError(`no agent answered on ${options.socketPath} within ${timeoutMs} ms`, {
    code: "Unreachable",
    stage: "boot",
    object: options.socketPath,
    remedy: "Look at the VM's console for what the kernel said last, and whether another process is connected.",
    cause,
  });
}

async function greetUntilHeard(options: ConnectOptions, signal: AbortSignal): Promise<Socket> {
  const { socketPath, isSessionDead = false } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await greet(await openSocket(socketPath, signal), isSessionDead, signal);
    } catch (error) {
      const code = systemErrorCode(error);
      const isTransient = code === "ENOENT" || code === "ECONNREFUSED" || code === "ECONNRESET" || code === "EPIPE";
      if (!isTransient && !(error instanceof LineClosed)) throw error;
    }
    await delay(socketRetryMs, undefined, { signal });
  }
}

class LineClosed extends Error {}

async function openSocket(socketPath: string, signal: AbortSignal): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    // The signal bounds the connecting only: given to the socket, it would end the session later.
    const socket = connectSocket(socketPath);
    const onAbort = (): void => void socket.destroy(signal.reason);
    const settle = (action: () => void) => () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", reject);
      action();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", reject);
    socket.once(
      "connect",
      settle(() => resolve(socket)),
    );
    socket.once(
      "close",
      settle(() => reject(new LineClosed("the socket was closed"))),
    );
  });
}

/** Says HELLO until the READY of the last one has come; the socket is then at the first byte of the session. */
async function greet(socket: Socket, isSessionDead: boolean, signal: AbortSignal): Promise<Socket> {
  const greeting = new Greeting();
  let timer: NodeJS.Timeout | undefined;
  let stop = (): void => {};
  try {
    const rest = await new Promise<Buffer>((resolve, reject) => {
      const say = (attempt: number): void => {
        // Once heard, the READY of the last HELLO is on its way; only after a long silence is another one said.
        const isLate = attempt > repeatDelaysMs.length;
        if ((!greeting.isHeard || isLate) && socket.writableLength === 0) {
          if (attempt === 0 && isSessionDead) socket.write(filler);
          socket.write(greeting.next(attempt));
        }
        timer = setTimeout(say, repeatDelaysMs[attempt] ?? repeatDelaysMs.at(-1), attempt + 1);
      };
      const onData = (data: Buffer): void => {
        const behind = greeting.push(data);
        if (behind === undefined) return;
        socket.pause();
        resolve(behind);
      };
      const onClose = (): void => reject(new LineClosed("the port was closed during the greeting"));
      const onAbort = (): void => reject(signal.reason);
      socket.on("data", onData);
      socket.on("error", reject);
      socket.on("close", onClose);
      signal.addEventListener("abort", onAbort, { once: true });
      stop = () => {
        socket.off("data", onData);
        socket.off("error", reject);
        socket.off("close", onClose);
        signal.removeEventListener("abort", onAbort);
      };
      say(0);
    });
    if (rest.length > 0) socket.unshift(rest);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    stop();
  }
}
