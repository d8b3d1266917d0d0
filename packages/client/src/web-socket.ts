import type { WebSocket } from "ws";
import { translateConnectionError } from "./client-error.ts";
import type { KubeClient } from "./kube-client.ts";
import { errorFrom, type RequestOptions } from "./transport.ts";

/** Opens a WebSocket on the API server (exec, attach). Throws `ApiError` when the server answers with a status. */
export async function openWebSocket(
  client: KubeClient,
  path: string,
  protocols: readonly string[],
  query: RequestOptions["query"] = {},
): Promise<WebSocket> {
  const { transport } = client;
  // Few callers open one, and all of them load this file.
  const { WebSocket } = await import("ws");
  const url = transport.url(path, query);
  url.protocol = "wss:";
  const { ca, cert, key } = transport.tls;
  const socket = new WebSocket(url, [...protocols], {
    headers: { ...transport.identity },
    perMessageDeflate: false,
    handshakeTimeout: 60_000,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  return await new Promise<WebSocket>((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("error", (error) => reject(translateConnectionError(error, client.config.server)));
    socket.once("unexpected-response", (_request, response) => {
      errorFrom(response, `WebSocket ${path}`).then(reject, reject);
    });
  });
}
