import { openApiV2MediaType, openApiV2Minimal, openApiV3Document, openApiV3Index, pathNotFound } from "@isopod/api";
import { sendJson } from "../http/answer.ts";
import type { RequestContext } from "../request-context.ts";

/**
 * `/openapi/v2` (protobuf, for kubectl up to 1.28) and `/openapi/v3`: an index, and one document per group version,
 * which may be kept for ever under the hash it is linked with.
 */
export function openApi({ request, response, query }: RequestContext, path: string): void {
  if (path === "/openapi/v2") return sendJson(response, 200, openApiV2Minimal(), undefined, openApiV2MediaType);
  if (path === "/openapi/v3") return sendJson(response, 200, JSON.stringify(openApiV3Index()));
  if (!path.startsWith("/openapi/v3/")) throw pathNotFound();
  const document = openApiV3Document(path.slice("/openapi/v3/".length));
  if (document === undefined) throw pathNotFound();
  const etag = `"${document.hash}"`;
  const asked = query.get("hash");
  if (asked !== null && asked !== document.hash) {
    response.writeHead(301, { Location: `${path}?hash=${document.hash}` }).end();
    return;
  }
  const headers = {
    ETag: etag,
    "Cache-Control": asked === null ? "no-cache, private" : "public, immutable, max-age=31536000",
    Vary: "Accept",
  };
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const body = Buffer.from(document.json);
  response.writeHead(200, { ...headers, "Content-Type": "application/json", "Content-Length": body.length });
  response.end(body);
}
