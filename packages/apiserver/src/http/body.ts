import type { IncomingMessage } from "node:http";
import { badRequest, requestTooLarge, timeout } from "@isopod/api";

/** As kube-apiserver has it: objects beyond this do not fit its store either. */
export const maxBodyBytes = 3 * 1024 * 1024;
/** A client that stops in the middle of a body must not hold memory for ever. */
const bodyTimeoutMs = 60_000;

/** Reads a whole request body. Throws RequestEntityTooLarge, Timeout, or BadRequest when it breaks off. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) throw requestTooLarge(maxBodyBytes);
  return await new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const timer = setTimeout(() => fail(timeout("the request body did not arrive in time")), bodyTimeoutMs);
    const stop = () => {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd).off("close", onClose);
    };
    const fail = (error: Error) => {
      stop();
      // What still comes is read and dropped, so that the answer gets through.
      request.resume();
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBodyBytes) fail(requestTooLarge(maxBodyBytes));
      else chunks.push(chunk);
    };
    const onEnd = () => {
      stop();
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, sizeBytes));
    };
    const onClose = () => fail(badRequest("the request body broke off"));
    request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose);
  });
}
