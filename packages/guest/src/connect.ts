import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { isAbort, type Logger, silentLogger, systemErrorCode } from "@isopod/base";
import { GuestClient } from "./guest-client.ts";
import { GuestError } from "./guest-error.ts";
import { filler, Greeting, repeatDelaysMs } from "./handshake.ts";

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
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    const socket = await greetUntilHeard(options, signal);
    const session = connectHttp2("http://agent", {
      createConnection: () => socket,
      // The agent counts on this window when it decides which output the host must have: see agent/src/output.rs.
      settings: { enablePush: false, initialWindowSize: 65_535, maxHeaderListSize: 16 * 1024 },
      maxSessionMemory: 32,
    });
    return new GuestClient(session, socket, options.logger ?? silentLogger);
  } catch (cause) {
    throw greetingFailure(options, timeoutMs, cause);
  }
}

/**
 * Waits until the agent answers a greeting and hangs up again, with no session begun: for a VM that is to be saved in
 * that state. Throws as {@link connectGuest}.
 */
export async function greetGuest(options: Omit<ConnectOptions, "logger">): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    (await greetUntilHeard(options, signal)).destroy();
  } catch (cause) {
    throw greetingFailure(options, timeoutMs, cause);
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
