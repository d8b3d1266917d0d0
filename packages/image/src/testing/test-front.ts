import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export type FrontHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  /** Hands the request on to the registry behind. */
  forward: () => Promise<void>,
) => Promise<void> | void;

export interface TestFront extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** Method and path of every request so far. */
  readonly requests: readonly string[];
}

/** A small HTTP server in front of a registry (or of nothing), that misbehaves as a test wants. */
export async function startFront(backend: string, handle: FrontHandler): Promise<TestFront> {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const forward = async () => await forwardTo(backend, request, response);
    Promise.resolve(handle(request, response, forward)).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    host: `127.0.0.1:${address.port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function forwardTo(backend: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { accept, range } = request.headers;
  const headers = { ...(accept === undefined ? {} : { accept }), ...(range === undefined ? {} : { range }) };
  const answer = await fetch(`http://${backend}${request.url}`, { headers });
  const content = Buffer.from(await answer.arrayBuffer());
  for (const name of ["content-type", "content-range", "docker-content-digest"]) {
    const value = answer.headers.get(name);
    if (value !== null) response.setHeader(name, value);
  }
  response.writeHead(answer.status, { "content-length": content.length }).end(content);
}
