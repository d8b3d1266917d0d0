import type { ServerResponse } from "node:http";
import type { ServerContext } from "../request-context.ts";

const endpoints = ["healthz", "livez", "readyz"] as const;

/** What each endpoint looks at: a server whose store does not answer is neither alive nor ready. */
const checks: Readonly<Record<string, (server: ServerContext) => Promise<unknown>>> = {
  ping: async () => undefined,
  store: async ({ objects }) => await objects.store.currentRevision(),
  shutdown: async ({ signal }) => signal.throwIfAborted(),
};

/** `/healthz`, `/livez`, `/readyz`, each also as `/readyz/CHECK` and with `?verbose`; false for other paths. */
export async function health(server: ServerContext, url: URL, response: ServerResponse): Promise<boolean> {
  const [, endpoint = "", only, ...rest] = url.pathname.split("/");
  if (!endpoints.some((known) => known === endpoint) || rest.length > 0) return false;
  const names = only === undefined || only === "" ? Object.keys(checks) : [only];
  if (!names.every((name) => Object.hasOwn(checks, name))) return false;
  const lines: string[] = [];
  let isHealthy = true;
  for (const name of names) {
    try {
      await checks[name]?.(server);
      lines.push(`[+]${name} ok`);
    } catch {
      isHealthy = false;
      lines.push(`[-]${name} failed: reason withheld`);
    }
  }
  const summary = `${endpoint} check ${isHealthy ? "passed" : "failed"}`;
  const text = isHealthy && !url.searchParams.has("verbose") ? "ok" : `${lines.join("\n")}\n${summary}\n`;
  const headers = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };
  response.writeHead(isHealthy ? 200 : 503, headers).end(text);
  return true;
}
