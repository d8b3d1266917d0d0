import { sendJson } from "./http/answer.ts";
import { readBody } from "./http/body.ts";
import type { AggregatedApi } from "./contract.ts";
import type { RequestContext } from "./request-context.ts";

/** The aggregated API a path belongs to. */
export function findAggregated(apis: readonly AggregatedApi[], path: string): AggregatedApi | undefined {
  return apis.find(({ group, version }) => path.startsWith(`/apis/${group}/${version}/`));
}

/** Hands a request below `/apis/GROUP/VERSION` to whoever serves it. */
export async function handleAggregated(context: RequestContext, api: AggregatedApi): Promise<void> {
  const base = `/apis/${api.group}/${api.version}`;
  const { status, body } = await api.handle({
    method: context.request.method ?? "GET",
    path: context.url.pathname.slice(base.length),
    query: context.query,
    body: await readBody(context.request),
    user: context.user,
    signal: context.signal,
  });
  sendJson(context.response, status, JSON.stringify(body), context.warnings);
}
