import { createHash } from "node:crypto";
import { methodNotAllowed, pathNotFound } from "@isopod/api";
import { sendJson } from "../http/answer.ts";
import { prefersAggregatedDiscovery } from "../http/negotiate.ts";
import type { RequestContext } from "../request-context.ts";
import { aggregatedContentType, aggregatedDiscovery } from "./aggregated.ts";
import { type ServedVersion, servedVersions } from "./api-groups.ts";
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from "./legacy.ts";
import { openApi } from "./openapi.ts";
import { versionInfo } from "./version.ts";

/** A document that never changes while the server runs. */
interface Fixed {
  readonly body: string;
  readonly etag: string;
}

function fixed(document: object): Fixed {
  const body = JSON.stringify(document);
  return { body, etag: `"${createHash("sha256").update(body).digest("hex").toUpperCase()}"` };
}

/** Answers about the server itself: what it serves, in which version, with which schemas. */
export class Discovery {
  readonly #served: readonly ServedVersion[];
  readonly #core: Fixed;
  readonly #groups: Fixed;

  constructor(context: Pick<RequestContext["server"], "options">) {
    this.#served = servedVersions(context.options.aggregated ?? []);
    this.#core = fixed(aggregatedDiscovery(this.#served.filter(({ group }) => group === "")));
    this.#groups = fixed(aggregatedDiscovery(this.#served.filter(({ group }) => group !== "")));
  }

  /** Throws NotFound for a path that is nothing of ours. */
  async answer(context: RequestContext): Promise<void> {
    const path = context.url.pathname.replace(/(?<=.)\/$/, "");
    if (context.request.method !== "GET" && context.request.method !== "HEAD") {
      throw methodNotAllowed({ group: "", plural: path }, (context.request.method ?? "").toLowerCase());
    }
    const send = (document: object) => sendJson(context.response, 200, JSON.stringify(document), context.warnings);
    const accept = context.request.headers.accept;
    switch (path) {
      case "/api":
        if (prefersAggregatedDiscovery(accept)) return sendFixed(context, this.#core);
        return send(apiVersions(context.request.headers.host ?? ""));
      case "/apis":
        if (prefersAggregatedDiscovery(accept)) return sendFixed(context, this.#groups);
        return send(apiGroupList(this.#served));
      case "/version":
        return send(versionInfo);
      case "/":
        return send({ paths: this.#paths() });
    }
    if (path.startsWith("/openapi/")) return openApi(context, path);
    const document = this.#groupDocument(path);
    if (document === undefined) throw pathNotFound();
    send(document);
  }

  #groupDocument(path: string): object | undefined {
    if (path === "/api/v1") return apiResourceList(this.#served, "", "v1");
    const [, apis, group = "", version, ...rest] = path.split("/");
    if (apis !== "apis" || group === "" || rest.length > 0) return undefined;
    return version === undefined ? apiGroup(this.#served, group) : apiResourceList(this.#served, group, version);
  }

  #paths(): readonly string[] {
    const groups = this.#served.flatMap(({ group, version }) =>
      group === "" ? ["/api/v1"] : [`/apis/${group}`, `/apis/${group}/${version}`],
    );
    const own = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    return [...new Set([...own, ...groups])].toSorted();
  }
}

function sendFixed({ request, response }: RequestContext, { body, etag }: Fixed): void {
  response.setHeader("ETag", etag);
  response.setHeader("Vary", "Accept");
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304).end();
    return;
  }
  sendJson(response, 200, body, undefined, aggregatedContentType);
}
