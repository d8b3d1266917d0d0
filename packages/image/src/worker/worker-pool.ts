import { MessageChannel, type Transferable, Worker } from "node:worker_threads";
import { type BuildMetadataOptions, type BuiltMetadata, isBuiltMetadata } from "../erofs/build-metadata.ts";
import { ImageError } from "../image-error.ts";
import { type ConvertedLayer, type ConvertLayerOptions, isConvertedLayer } from "../layer/convert-layer.ts";
import { sendBytes } from "./byte-channel.ts";
import type { WorkerReply, WorkerRequest, WorkerResult } from "./messages.ts";

/** A worker without work costs some 10 MiB; starting one costs some 50 ms. */
const idleTimeoutMs = 10_000;

interface Idle {
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
}

/** Threads for what is heavy on the processor. Started when needed, stopped when idle; they never keep a process alive. */
export class WorkerPool implements AsyncDisposable {
  readonly #size: number;
  #running = 0;
  readonly #idle: Idle[] = [];
  readonly #queue: (() => void)[] = [];
  readonly #workers = new Set<Worker>();

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Converts one layer. `open` is called when a thread is free, so that no download begins without a reader.
   * Rejects with what the source throws when it was the source that failed.
   */
  async convertLayer(
    options: ConvertLayerOptions,
    open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ConvertedLayer> {
    using slot = await this.#slot(signal);
    const { port1, port2 } = new MessageChannel();
    const stop = new AbortController();
    try {
      const sending = sendBytes(port1, open(AbortSignal.any([signal, stop.signal])));
      // Awaited below; the reply usually comes first, and this must not count as unhandled until then.
      sending.catch(() => {});
      const reply = await this.#ask(slot.worker, { kind: "convert", options, source: port2 }, [port2]);
      if ("sourceFailed" in reply) await sending;
      const result = unwrap(reply, options.layerName);
      if (!isConvertedLayer(result)) throw new TypeError("the worker answered another question");
      await sending;
      return result;
    } finally {
      // A layer refused half-way ends its download at once.
      stop.abort();
      port1.close();
    }
  }

  async buildMetadata(options: BuildMetadataOptions, signal: AbortSignal): Promise<BuiltMetadata> {
    using slot = await this.#slot(signal);
    const result = unwrap(await this.#ask(slot.worker, { kind: "metadata", options }, []), options.imageName);
    if (!isBuiltMetadata(result)) throw new TypeError("the worker answered another question");
    return result;
  }

  /** Stops every thread at once; what they were doing rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { timer } of this.#idle.splice(0)) clearTimeout(timer);
    await Promise.all([...this.#workers].map(async (worker) => await worker.terminate()));
  }

  async #slot(signal: AbortSignal): Promise<{ readonly worker: Worker } & Disposable> {
    signal.throwIfAborted();
    if (this.#running >= this.#size) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const leave = () => {
        const place = this.#queue.indexOf(resolve);
        if (place >= 0) this.#queue.splice(place, 1);
        reject(signal.reason);
      };
      this.#queue.push(resolve);
      signal.addEventListener("abort", leave, { once: true });
      try {
        await promise;
      } finally {
        signal.removeEventListener("abort", leave);
      }
    } else {
      this.#running++;
    }
    const worker = this.#take();
    return {
      worker,
      [Symbol.dispose]: () => {
        this.#put(worker);
        // The place goes to the next in the queue, if there is one.
        const next = this.#queue.shift();
        if (next === undefined) this.#running--;
        else next();
      },
    };
  }

  #take(): Worker {
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      clearTimeout(idle.timer);
      return idle.worker;
    }
    const worker = new Worker(new URL("./image-worker.ts", import.meta.url), { name: "isopod-image" });
    this.#workers.add(worker);
    worker.once("exit", () => this.#workers.delete(worker));
    // A thread that dies while idle is replaced when needed; while working, #ask reports it.
    worker.on("error", () => this.#workers.delete(worker));
    return worker;
  }

  #put(worker: Worker): void {
    if (!this.#workers.has(worker)) return;
    worker.unref();
    const timer = setTimeout(() => {
      const place = this.#idle.findIndex((idle) => idle.worker === worker);
      if (place >= 0) this.#idle.splice(place, 1);
      void worker.terminate();
    }, idleTimeoutMs);
    timer.unref();
    this.#idle.push({ worker, timer });
  }

  async #ask(worker: Worker, request: WorkerRequest, transfer: readonly Transferable[]): Promise<WorkerReply> {
    worker.ref();
    const { promise, resolve, reject } = Promise.withResolvers<WorkerReply>();
    const onExit = () => reject(new Error("the image worker thread ended unexpectedly"));
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", onExit);
    try {
      worker.postMessage(request, transfer);
      return await promise;
    } finally {
      worker.off("message", resolve);
      worker.off("error", reject);
      worker.off("exit", onExit);
    }
  }
}

function unwrap(reply: WorkerReply, object: string): WorkerResult {
  if ("result" in reply) return reply.result;
  if ("imageError" in reply) {
    const { message, ...details } = reply.imageError;
    throw new ImageError(message, details);
  }
  if ("failure" in reply) throw new Error(`converting ${object} failed: ${reply.failure}`);
  throw new Error(`the bytes of ${object} stopped coming`);
}
