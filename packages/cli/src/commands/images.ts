import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { resources } from "@isopod/api";
import { systemErrorCode } from "@isopod/base";
import { type KubeClient, pathOf, readLines } from "@isopod/client";
import { CliError } from "../cli-error.ts";
import { type GlobalOptions, openContext } from "../context.ts";
import { formatBytes, formatTable, note, print, printJson } from "../output.ts";

export interface ImageOptions extends GlobalOptions {
  readonly node?: string;
  readonly name?: string;
}

interface ImageSummary {
  readonly digest: string;
  readonly references: readonly string[];
  readonly sizeBytes: number;
  readonly created: string;
}

/** One line of a pull's or load's answer. */
type Line =
  | { readonly progress: { readonly stage: string; readonly doneBytes: number; readonly totalBytes: number } }
  | { readonly images: readonly ImageSummary[] }
  | { readonly error: { readonly message: string; readonly stage?: string; readonly remedy?: string } };

/** The node whose images are meant: the one named, or the only one. */
async function nodeOf(client: KubeClient, name: string | undefined): Promise<string> {
  if (name !== undefined) return name;
  const { items } = await client.list(resources.nodes);
  const [only, ...others] = items.map((node) => node.metadata.name);
  if (only !== undefined && others.length === 0) return only;
  throw new CliError(only === undefined ? "no node has registered" : "there are several nodes", {
    code: "Usage",
    object: "--node",
    remedy:
      only === undefined
        ? "Wait for `isopod up` to be ready."
        : `Name one with --node: ${[only, ...others].join(", ")}.`,
  });
}

function imagesPath(node: string, action = ""): string {
  return `${pathOf(resources.nodes, undefined, node, "proxy")}/images${action}`;
}

export async function images(options: ImageOptions): Promise<number> {
  using context = await openContext(options);
  const { client, isJson } = context;
  const node = await nodeOf(client, options.node);
  const answer = (await client.transport.json("GET", imagesPath(node))) as { readonly images: readonly ImageSummary[] };
  if (isJson) printJson(answer.images);
  else {
    const rows = answer.images.flatMap((image) =>
      (image.references.length === 0 ? ["<none>"] : image.references).map((reference) => [
        reference,
        image.digest.slice(7, 19),
        formatBytes(image.sizeBytes),
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
  const node = await nodeOf(client, options.node);
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
  const node = await nodeOf(client, options.node);
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
  const node = await nodeOf(client, options.node);
  const removed = await client.transport.json("DELETE", imagesPath(node), { query: { reference } });
  if (isJson) printJson(removed);
  else print(reference);
  return 0;
}

async function showLines(body: AsyncIterable<Uint8Array>, object: string, isJson: boolean): Promise<number> {
  let shown = "";
  for await (const text of readLines(body)) {
    const line = JSON.parse(text) as Line;
    if ("error" in line) {
      const { message, stage, remedy } = line.error;
      throw new CliError(message, {
        code: "Refused",
        object,
        ...(stage === undefined ? {} : { stage }),
        ...(remedy === undefined ? {} : { remedy }),
      });
    }
    if ("progress" in line) {
      const { stage, doneBytes, totalBytes } = line.progress;
      const amount = totalBytes === 0 ? "" : ` ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
      // On a terminal one line that moves, elsewhere one line per stage.
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${stage}${amount}`);
      else if (stage !== shown) note(`${stage}${amount}`);
      shown = stage;
    } else {
      if (process.stderr.isTTY && shown !== "") process.stderr.write("\r\u001b[K");
      if (isJson) printJson(line.images);
      else for (const image of line.images) print(`${image.references.join(" ")} ${image.digest}`);
    }
  }
  return 0;
}
