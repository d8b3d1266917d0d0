import type { MessagePort } from "node:worker_threads";
import type { SourceCredit, SourceMessage } from "./messages.ts";

/** Bytes under way between the threads: enough to hide the latency of a message, little enough for many layers. */
const windowBytes = 2 * 1024 * 1024;

/** The sender gave up; the reason stays on its side. */
export class SourceFailedError extends Error {}

/**
 * Sends `source` through `port` to {@link receiveBytes}, never more than a window ahead of the receiver.
 * Resolves at the end or when the receiver has closed the port (it has all it wants); rejects with what the source
 * throws, after telling the receiver.
 */
export async function sendBytes(port: MessagePort, source: AsyncIterable<Uint8Array>): Promise<void> {
  const state = { underWayBytes: 0, isClosed: false };
  let wake: (() => void) | undefined;
  port.on("message", ({ takenBytes }: SourceCredit) => {
    state.underWayBytes -= takenBytes;
    wake?.();
  });
  port.on("close", () => {
    state.isClosed = true;
    wake?.();
  });
  const send = (message: SourceMessage) => port.postMessage(message);
  try {
    for await (const chunk of source) {
      // Copied by the message: a chunk is often a piece of a buffer that others share.
      send({ chunk });
      state.underWayBytes += chunk.length;
      while (state.underWayBytes >= windowBytes && !state.isClosed) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (state.isClosed) return;
    }
    send({ end: true });
  } catch (error) {
    send({ failed: true });
    throw error;
  }
}

/** The other end. An iterator rather than a generator: leaving early must not wait for a message that never comes. */
export function receiveBytes(port: MessagePort): AsyncIterable<Uint8Array> {
  const queue: SourceMessage[] = [];
  let wake: (() => void) | undefined;
  port.on("message", (message: SourceMessage) => {
    queue.push(message);
    wake?.();
  });
  port.on("close", () => {
    queue.push({ failed: true });
    wake?.();
  });
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    while (queue.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
    }
    const message = queue[0];
    if (message !== undefined && "chunk" in message) {
      queue.shift();
      port.postMessage({ takenBytes: message.chunk.length } satisfies SourceCredit);
      return { done: false, value: message.chunk };
    }
    // End and failure stay in the queue: they are the answer from now on.
    if (message !== undefined && "failed" in message) throw new SourceFailedError("the sender gave up");
    return { done: true, value: undefined };
  };
  return {
    [Symbol.asyncIterator]: () => ({
      next,
      return: async () => {
        port.close();
        return { done: true, value: undefined };
      },
    }),
  };
}
