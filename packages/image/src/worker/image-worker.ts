import { describeError, findCause } from "@isopod/base";
import { parentPort } from "node:worker_threads";
import { buildMetadata } from "../erofs/build-metadata.ts";
import { ImageError, toPlainError } from "../image-error.ts";
import { convertLayer } from "../layer/convert-layer.ts";
import { receiveBytes, SourceFailedError } from "./byte-channel.ts";
import type { WorkerReply, WorkerRequest, WorkerResult } from "./messages.ts";

// The entry point of a worker thread: one request at a time, one reply each.

async function handle(request: WorkerRequest): Promise<WorkerResult> {
  if (request.kind === "metadata") return buildMetadata(request.options);
  return await convertLayer(receiveBytes(request.source), request.options);
}

function describeFailure(error: unknown): WorkerReply {
  if (findCause(error, (candidate) => candidate instanceof SourceFailedError) !== undefined) {
    return { sourceFailed: true };
  }
  if (error instanceof ImageError) return { imageError: toPlainError(error) };
  return { failure: describeError(error) };
}

const port = parentPort;
port?.on("message", (request: WorkerRequest) => {
  handle(request)
    .then((result): WorkerReply => ({ result }), describeFailure)
    .then((reply) => port.postMessage(reply))
    // Only a reply that cannot be cloned comes here; the thread's end tells the pool.
    .catch((error: unknown) => {
      throw error;
    });
});
