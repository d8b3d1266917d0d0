import { partialObjectMetadata, printTable } from "@isopod/api";
import type { ObjectVersion } from "../objects/object-version.ts";
import type { RequestContext } from "../request-context.ts";
import { sendJson } from "./answer.ts";
import { type AnswerShape, negotiateShape } from "./negotiate.ts";
import { includeObject } from "./table-options.ts";

export const objectShapes: readonly AnswerShape[] = ["object", "table", "partial"];

/** Sends one object in the shape the client asked for. */
export function sendObject(context: RequestContext, code: number, version: ObjectVersion): void {
  const { response, warnings } = context;
  const shape = negotiateShape(context.request.headers.accept, objectShapes);
  switch (shape) {
    case "object":
      return sendJson(response, code, Buffer.concat(version.pieces), warnings);
    case "partial":
      return sendJson(response, code, JSON.stringify(partialObjectMetadata(version.object)), warnings);
    case "table": {
      const { resourceVersion } = version.object.metadata;
      const table = printTable(version.definition, [version.object], {
        nowMs: context.server.options.clock.nowMs(),
        includeObject: includeObject(context.query),
        metadata: resourceVersion === undefined ? {} : { resourceVersion },
      });
      return sendJson(response, code, JSON.stringify(table), warnings);
    }
  }
}
