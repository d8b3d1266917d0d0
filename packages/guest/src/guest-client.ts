import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@isopod/base";
import {
  parseJson,
  readConfigured,
  readFailure,
  readInfo,
  readNothing,
  readStarted,
  readState,
  readStates,
  readStats,
} from "./answers.ts";
import { AttachStream } from "./attach-stream.ts";
import {
  type AgentInfo,
  type ContainerSpec,
  type ContainerStarted,
  type ContainerState,
  type ExecSpec,
  frameTypes,
  type GuestConfiguration,
  type GuestConfigured,
  type GuestReidentification,
  type GuestStats,
  type GuestVolume,
} from "./contract.ts";
import { encodeFrame } from "./frame.ts";
import { GuestError } from "./guest-error.ts";
import { openSession } from "./http-session.ts";
import type { Opening } from "./opening.ts";
import { type OutputChunk, readOutput } from "./output.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long the agent may take; default 60,000. Calls that wait by their nature have no bound. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 60_000;
const maxAnswerBytes = 4 * 1024 * 1024;
/** How long a call that is in no hurry waits for a starting container's first output, which it would delay. */
const openingMs = 50;

/**
 * A session with the agent inside one VM. Calls run side by side. All methods throw {@link GuestError}: the agent's own
 * refusal with its code, or `Disconnected`, `TimedOut`, `BadAnswer`; an aborted call throws its signal's reason.
 * Disposing ends the session, never a container.
 */
export class GuestClient implements AsyncDisposable {
  /** Undefined until an opening has ended. */
  #session: ClientHttp2Session | undefined;
  #opened: Promise<ClientHttp2Session> | undefined;
  readonly #opening: Opening | undefined;
  readonly #socket: Socket;
  readonly #logger: Logger;
  /** Resolves when the session has ended, with what broke it if something did. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  #broken: Error | undefined;
  readonly #begun = Promise.withResolvers<boolean>();

  /** On a line that has been greeted. With an opening, HTTP/2 begins when something needs it, or the opening ends. */
  constructor(socket: Socket, logger: Logger, opening?: Opening) {
    this.#socket = socket;
    this.#logger = logger;
    this.#opening = opening;
    // A broken line ends the session, which says so.
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", () => resolve(this.#broken)));
    if (opening === undefined) this.#session = this.#begin();
    else opening.ended.then(async () => await this.#http()).catch(() => {});
  }

  #begin(): ClientHttp2Session {
    const session = openSession(this.#socket);
    session.on("error", (error: Error) => {
      this.#broken = error;
      this.#logger.debug({ error: error.message }, "the agent's session broke");
    });
    session.once("remoteSettings", () => this.#begun.resolve(true));
    session.on("close", () => {
      this.#begun.resolve(false);
      this.#socket.destroy();
    });
    session.on("goaway", () => session.destroy());
    return session;
  }

  async #http(): Promise<ClientHttp2Session> {
    if (this.#session !== undefined || this.#opening === undefined) return (this.#session ??= this.#begin());
    const opening = this.#opening;
    this.#opened ??= opening.handOver().then((rest) => {
      if (rest.length > 0) this.#socket.unshift(rest);
      this.#session = this.#begin();
      return this.#session;
    });
    return await this.#opened;
  }

  /** Whether the agent has said anything in this session within that time. */
  async hasBegun(timeoutMs: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
    const hasBegun = await Promise.race([this.#begun.promise, late]);
    timer.abort();
    return hasBegun;
  }

  get isClosed(): boolean {
    return this.#socket.destroyed || this.#session?.destroyed === true || this.#session?.closed === true;
  }

  async info(options: CallOptions = {}): Promise<AgentInfo> {
    return readInfo(await this.#call("GET", "/v1/info", undefined, options));
  }

  /** Once per VM, before the first container. */
  async configure(configuration: GuestConfiguration, options: CallOptions = {}): Promise<GuestConfigured> {
    return readConfigured(await this.#call("POST", "/v1/configure", configuration, options));
  }

  /** Gives the running guest of a restored snapshot another identity; may be repeated. Containers and sessions go on. */
  async reidentify(identity: GuestReidentification, options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("POST", "/v1/reidentify", identity, options));
  }

  /**
   * Takes back all that was done since the VM booted: as if it had never been configured, it waits for `configure` or
   * a START, and reads the image behind its first slot when it is used. What a program could have changed in the kernel
   * beyond its containers (routes, as NET_ADMIN) may stay: for rehearsals, not for handing a VM on.
   *
   * `BadRequest` while there is a container, or when the VM is not configured. After any other failure the VM is in no
   * known state: end it.
   */
  async reset(options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("POST", "/v1/reset", undefined, options));
  }

  /** Resolves when the container's program has been executed; the container then goes on without this session. */
  async startContainer(spec: ContainerSpec, options: CallOptions = {}): Promise<ContainerStarted> {
    return readStarted(await this.#call("POST", "/v1/containers", spec, options));
  }

  async listContainers(options: CallOptions = {}): Promise<readonly ContainerState[]> {
    return readStates(await this.#call("GET", "/v1/containers", undefined, options));
  }

  /** Resolves when the container has ended, however long that takes. */
  async waitContainer(id: string, signal?: AbortSignal): Promise<ContainerState> {
    await this.#letItTalk(id);
    const options = { timeoutMs: Number.POSITIVE_INFINITY, ...withSignal(signal) };
    return readState(await this.#call("GET", `${containerPath(id)}/wait`, undefined, options));
  }

  /** `signalName` as images and pod specs write it: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`. */
  async signalContainer(id: string, signalName: string, options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("POST", `${containerPath(id)}/signal`, { signal: signalName }, options));
  }

  /** Kills what is left of the container and removes its files; resolves when they are gone. */
  async removeContainer(id: string, options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("DELETE", containerPath(id), undefined, options));
  }

  async putVolumes(volumes: readonly GuestVolume[], options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("PUT", "/v1/volumes", volumes, options));
  }

  async stats(options: CallOptions = {}): Promise<GuestStats> {
    return readStats(await this.#call("GET", "/v1/stats", undefined, options));
  }

  /** Kills all containers, syncs disks and ends the VM; the session breaks soon after. */
  async powerOff(options: CallOptions = {}): Promise<void> {
    readNothing(await this.#call("POST", "/v1/poweroff", undefined, options));
  }

  /**
   * The container's output from byte `from` of its whole life, until it has ended and all is read. `from` tells the
   * agent that everything before it is safe. Breaks with `Disconnected` in mid-stream; continue at `nextOffset` of the
   * last chunk: the agent keeps at least the last 256 KiB it sent.
   */
  async *output(id: string, from: number, signal?: AbortSignal): AsyncGenerator<OutputChunk, void, undefined> {
    let next = from;
    if (this.#opening?.id === id && this.#session === undefined) {
      for await (const chunk of this.#opening.output(from)) {
        signal?.throwIfAborted();
        next = chunk.nextOffset;
        yield chunk;
      }
    }
    const open = async (): Promise<ClientHttp2Stream> =>
      await this.#open("GET", `${containerPath(id)}/output?from=${next}`, undefined, { ...withSignal(signal) });
    yield* readOutput(open, next, signal);
  }

  /** HTTP/2 takes the guest's only processor from a container that starts: what can wait a moment does. */
  async #letItTalk(id: string): Promise<void> {
    const opening = this.#opening;
    if (opening?.id !== id || this.#session !== undefined || opening.hasOutput) return;
    const timer = new AbortController();
    await Promise.race([opening.changed, delay(openingMs, undefined, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
  }

  /**
   * Runs a program in a running container; resolves when it has been executed. It is killed when its stream ends.
   */
  async exec(id: string, spec: ExecSpec, signal?: AbortSignal): Promise<AttachStream> {
    const first = encodeFrame(frameTypes.exec, JSON.stringify(spec));
    return new AttachStream(await this.#open("POST", `${containerPath(id)}/exec`, first, { ...withSignal(signal) }));
  }

  /** Joins a container's input and output; output begins at byte `from`, by default with what comes next. */
  async attach(
    id: string,
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): Promise<AttachStream> {
    const query = options.from === undefined ? "" : `?from=${options.from}`;
    const path = `${containerPath(id)}/attach${query}`;
    return new AttachStream(await this.#open("POST", path, Buffer.alloc(0), { ...withSignal(options.signal) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session?.destroy();
    this.#socket.destroy();
    await this.closed;
  }

  async #call(method: string, path: string, body: unknown, options: CallOptions): Promise<unknown> {
    const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const request = await this.#request(method, path, text, true, options);
    try {
      const answer = await readBody(request.stream);
      if (request.status !== 200) throw readFailure(answer);
      return parseJson(answer);
    } catch (error) {
      throw request.translate(error);
    } finally {
      request.release();
      cancel(request.stream);
    }
  }

  /** A streaming call: resolves with the stream when the agent has accepted it. `body` undefined = no body. */
  async #open(
    method: string,
    path: string,
    body: Buffer | undefined,
    options: CallOptions,
  ): Promise<ClientHttp2Stream> {
    const request = await this.#request(method, path, body, body === undefined, options);
    if (request.status === 200) {
      request.stopTimer();
      request.stream.once("close", request.release);
      return request.stream;
    }
    try {
      throw readFailure(await readBody(request.stream));
    } catch (error) {
      throw request.translate(error);
    } finally {
      request.release();
      cancel(request.stream);
    }
  }

  async #request(
    method: string,
    path: string,
    body: Buffer | undefined,
    endStream: boolean,
    options: CallOptions,
  ): Promise<PendingRequest> {
    options.signal?.throwIfAborted();
    if (this.isClosed) throw disconnected(method, path, undefined);
    const session = this.#session ?? (await this.#http());
    const stream = session.request({ ":method": method, ":path": path }, { endStream: endStream && !body });
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    let isLate = false;
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(() => {
          isLate = true;
          stream.destroy(new Error("timeout"));
        }, timeoutMs)
      : undefined;
    const onAbort = (): void => void stream.destroy(new Error("aborted"));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const stopTimer = (): void => clearTimeout(timer);
    const release = (): void => {
      stopTimer();
      options.signal?.removeEventListener("abort", onAbort);
    };
    const translate = (error: unknown): unknown => {
      if (error instanceof GuestError) return error;
      if (options.signal?.aborted === true) return options.signal.reason;
      if (!isLate) return disconnected(method, path, error);
      return new GuestError(`the agent did not answer ${method} ${path} within ${timeoutMs} ms`, {
        code: "TimedOut",
        object: path,
      });
    };
    // What a stream that nobody reads yet breaks with is told to whoever reads it next.
    stream.on("error", () => {});
    if (body !== undefined) {
      if (endStream) stream.end(body);
      else stream.write(body);
    }
    try {
      const status = await new Promise<number>((resolve, reject) => {
        stream.once("response", (headers) => resolve(headers[":status"] ?? 0));
        stream.once("error", reject);
        stream.once("close", () => reject(new Error("the stream was closed")));
      });
      return { stream, status, stopTimer, release, translate };
    } catch (error) {
      release();
      throw translate(error);
    }
  }
}

interface PendingRequest {
  readonly stream: ClientHttp2Stream;
  readonly status: number;
  readonly stopTimer: () => void;
  readonly release: () => void;
  readonly translate: (error: unknown) => unknown;
}

function withSignal(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}

function containerPath(id: string): string {
  return `/v1/containers/${encodeURIComponent(id)}`;
}

function cancel(stream: ClientHttp2Stream): void {
  if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
}

function disconnected(method: string, path: string, cause: unknown): GuestError {
  return new GuestError(`the agent's session ended during ${method} ${path}`, {
    code: "Disconnected",
    object: path,
    remedy: "Connect again; if that fails, the VM has ended.",
    cause,
  });
}

async function readBody(stream: ClientHttp2Stream): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxAnswerBytes) {
      throw new GuestError(`the agent's answer is longer than ${maxAnswerBytes} bytes`, { code: "BadAnswer" });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
