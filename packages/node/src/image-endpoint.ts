import { createWriteStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { systemErrorCode, temporaryDirectory } from "@isopod/base";
import { type Image, ImageError, type ImageStore } from "@isopod/image";
import { abortOnClose, answerLines } from "./json-lines-answer.ts";

/** What the directories of archives that are being read begin with. */
export const uploadPrefix = "upload-";

/** An image as clients see it. */
function summary(image: Image): object {
  const { digest, references, sizeBytes, downloadBytes, createdMs, architecture } = image;
  return { digest, references, sizeBytes, downloadBytes, created: new Date(createdMs).toISOString(), architecture };
}

/**
 * `GET /images`, `POST /images/pull?reference=`, `POST /images/load?reference=` with the archive as body,
 * `DELETE /images?reference=`, `POST /images/collect`.
 *
 * Pull and load answer with JSON lines: `{progress}` while they work, then `{images}` or `{error}`. Archives wait in
 * `uploadsDirectory` while they are read.
 */
export async function serveImages(
  images: ImageStore,
  uploadsDirectory: string,
  parts: readonly string[],
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const action = `${request.method} ${parts.join("/")}`;
  const reference = query.get("reference") ?? "";
  const signal = abortOnClose(response);
  const json = (body: object): void => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  switch (action) {
    case "GET ":
      return json({ images: (await images.list()).map(summary) });
    case "DELETE ":
      await images.remove(reference);
      return json({ removed: reference, ...(await images.collectGarbage()) });
    case "POST collect":
      return json(await images.collectGarbage());
    case "POST pull":
      return await answerLines(response, async (write) => {
        const image = await images.pull(reference, { signal, onProgress: (progress) => write({ progress }) });
        write({ images: [summary(image)] });
      });
    case "POST load":
      return await answerLines(response, async (write) => {
        const loaded = await loadUpload(images, uploadsDirectory, request, {
          signal,
          ...(reference === "" ? {} : { reference }),
        });
        write({ images: loaded.map(summary) });
      });
    default:
      response.writeHead(404, { "content-type": "text/plain" });
      response.end(`no such image request: ${action}`);
  }
}

/** The archive's index may come after the blobs it names, so it is kept whole until it is read. */
async function loadUpload(
  images: ImageStore,
  uploadsDirectory: string,
  request: IncomingMessage,
  options: { readonly reference?: string; readonly signal: AbortSignal },
): Promise<readonly Image[]> {
  await using directory = await temporaryDirectory(uploadPrefix, uploadsDirectory);
  const path = join(directory.path, "archive");
  try {
    await pipeline(request, createWriteStream(path), { signal: options.signal });
  } catch (cause) {
    if (systemErrorCode(cause) !== "ENOSPC") throw cause;
    const sizeBytes = request.headers["content-length"];
    throw new ImageError(`no space left for the archive${sizeBytes === undefined ? "" : ` of ${sizeBytes} bytes`}`, {
      code: "NoSpace",
      stage: "load",
      object: uploadsDirectory,
      cause,
    });
  }
  return await images.load(path, options);
}
