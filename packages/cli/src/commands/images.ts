import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { humanBytes } from "@isopod/api";
import { systemErrorCode } from "@isopod/base";
import { CliError } from "../cli-error.ts";
import { type GlobalOptions, openContext } from "../context.ts";
import { followLines, type NodeOptions, nodeOf, nodePath } from "../node-proxy.ts";
import { formatTable, print, printJson } from "../output.ts";

export interface ImageOptions extends GlobalOptions, NodeOptions {
  readonly name?: string;
}

interface ImageSummary {
  readonly digest: string;
  readonly references: readonly string[];
  readonly sizeBytes: number;
  readonly created: string;
}

interface Progress {
  readonly stage: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

function imagesPath(node: string, action = ""): string {
  return nodePath(node, `/images${action}`);
}

export async function images(options: ImageOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const answer = (await client.transport.json("GET", imagesPath(node))) as { readonly images: readonly ImageSummary[] };
  if (isJson) printJson(answer.images);
  else {
    const rows = answer.images.flatMap((image) =>
      (image.references.length === 0 ? ["<none>"] : image.references).map((reference) => [
        reference,
        image.digest.slice(7, 19),
        humanBytes(image.sizeBytes),
        image.created.slice(0, 19).replace("T", " "),
      ]),
    );
    print(formatTable(["IMAGE", "DIGEST", "SIZE", "CREATED"], rows));
  }
  return 0;
}

export async function imagePull(reference: string, options: ImageOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const answer = await client.send("POST", imagesPath(node, "/pull"), { query: { reference }, timeoutMs: 0 });
  return await showLines(answer.body, reference, isJson);
}

export async function imageLoad(path: string, options: ImageOptions): Promise<number> {
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(path)).isDirectory();
    // A directory without this file is no layout: it is not sent over to be told so.
    if (isDirectory) await stat(join(path, "oci-layout"));
  } catch (cause) {
    throw new CliError(
      `${path} is no image archive or OCI layout that can be read (${systemErrorCode(cause) ?? "unknown"})`,
      {
        code: "Usage",
        stage: "load",
        object: path,
        remedy: "Give the path of an OCI layout or of a `docker save` archive.",
        cause,
      },
    );
  }
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const answer = await client.send("POST", imagesPath(node, "/load"), {
    query: { reference: options.name },
    body: isDirectory ? packed(path) : createReadStream(path),
    contentType: "application/x-tar",
    timeoutMs: 0,
  });
  return await showLines(answer.body, path, isJson);
}

/** An OCI layout as the one stream an upload is. What tar itself says of a failure goes to stderr. */
function packed(directory: string): Readable {
  const tar = spawn("tar", ["-C", directory, "-cf", "-", "."], { stdio: ["ignore", "pipe", "inherit"] });
  tar.on("error", (error) => tar.stdout.destroy(error));
  tar.on("exit", (code) => {
    // Half an archive must not pass for a whole one.
    if (code !== 0) tar.stdout.destroy(new Error(`tar could not read ${directory}`));
  });
  return tar.stdout;
}

export async function imageRemove(reference: string, options: ImageOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options);
  const removed = await client.transport.json("DELETE", imagesPath(node), { query: { reference } });
  if (isJson) printJson(removed);
  else print(reference);
  return 0;
}

/** Shows how a pull or load goes on, and prints the images that it ends with. */
async function showLines(body: AsyncIterable<Uint8Array>, object: string, isJson: boolean): Promise<number> {
  const { images } = await followLines<Progress, { readonly images: readonly ImageSummary[] }>(
    body,
    object,
    ({ stage, doneBytes, totalBytes }) => [
      stage,
      totalBytes === 0 ? "" : ` ${humanBytes(doneBytes)} of ${humanBytes(totalBytes)}`,
    ],
  );
  if (isJson) printJson(images);
  else for (const image of images) print(`${image.references.join(" ")} ${image.digest}`);
  return 0;
}
