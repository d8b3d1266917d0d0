import type { IncomingMessage, ServerResponse } from "node:http";
import { catalogue, formatSizeWord, type InstanceSize, parseSizeWord, QuantityError, roundUpSize } from "@isopod/api";
import { abortOnClose, answerLines } from "./json-lines-answer.ts";
import type { NodeTemplates } from "./node-templates.ts";

/**
 * `GET /templates`, `POST /templates/build?size=0.25x512Mi&size=…`, `DELETE /templates?id=`.
 *
 * Build answers with JSON lines: `{progress}` while it works, then `{templates}` or `{error}`; it ends when the client
 * goes away. Without a size it builds every one that the node can hold.
 */
export async function serveTemplates(
  templates: NodeTemplates,
  parts: readonly string[],
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const action = `${request.method} ${parts.join("/")}`;
  const json = (body: object): void => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  switch (action) {
    case "GET ":
      return json({ templates: await templates.list() });
    case "DELETE ": {
      const id = query.get("id") ?? "";
      if (id === "") return refuse(response, 400, "id is missing; GET /templates lists them");
      await templates.remove(id);
      return json({ removed: id });
    }
    case "POST build": {
      const sizes: InstanceSize[] = [];
      for (const word of new Set(query.getAll("size"))) {
        const size = sizeOf(word);
        if (typeof size === "string") return refuse(response, 400, size);
        sizes.push(size);
      }
      const signal = abortOnClose(response);
      return await answerLines(response, async (write) => {
        const built = await templates.build(sizes, (progress) => write({ progress }), signal);
        write({ templates: built });
      });
    }
    default:
      return refuse(response, 404, `no such template request: ${action}`);
  }
}

/** A size of the catalogue, or why the word is none: a template of another size would never be forked. */
function sizeOf(word: string): InstanceSize | string {
  let asked: InstanceSize;
  try {
    asked = parseSizeWord(word);
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    return `size=${word}: ${error.message}`;
  }
  const found = catalogue.find((one) => one.cpuMilli === asked.cpuMilli && one.memoryMiB === asked.memoryMiB);
  if (found !== undefined) return found;
  const next = roundUpSize(asked);
  const hint = next === undefined ? "it is beyond the largest" : `the next larger one is ${formatSizeWord(next)}`;
  return `size=${word} is not in the catalogue; ${hint}`;
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(text);
}
