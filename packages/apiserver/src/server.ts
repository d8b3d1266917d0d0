import { createServer, type Server } from "node:https";
import { isIPv6 } from "node:net";
import { describeError, systemErrorCode } from "@isopod/base";
import type { ApiServer, ApiServerOptions } from "./contract.ts";
import { createDefaultObjects } from "./default-objects.ts";
import { runEventExpiry } from "./event-expiry.ts";
import { ApiServerError } from "./errors.ts";
import { ObjectStore } from "./objects/object-store.ts";
import { RequestHandler } from "./request-handler.ts";

/** client-go keeps idle connections for 90 s; a server that closes them first makes it fail a request now and then. */
const keepAliveTimeoutMs = 120_000;
/** The command of an exec travels in the URL; Go's servers take 1 MiB, Node's default of 16 KiB refuses long scripts. */
const maxHeaderBytes = 256 * 1024;
/** From the handshake, or the request before, to the end of the headers: a client nobody knows yet must not stay. */
const headersTimeoutMs = 60_000;
/** What is still running this long after `close` is cut off. */
const closeGraceMs = 2000;

/**
 * Starts the API server over a store. Makes the namespaces every cluster has.
 * Throws {@link ApiServerError}: `PortInUse`, `CannotListen`, `BadCredentials`.
 */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const objects = new ObjectStore(options.store, options.clock);
  await createDefaultObjects(objects);
  const handler = new RequestHandler(options, objects);
  const server = listener(options);
  server.on("request", (request, response) => void handler.request(request, response));
  server.on("upgrade", (request, socket, head) => void handler.upgrade(request, socket, head));
  await listen(server, options);
  const stop = new AbortController();
  const expiry = runEventExpiry(objects, options.logger, stop.signal);
  const port = portOf(server);
  const host = options.publicHost ?? options.host;
  options.logger.info({ host: options.host, port }, "the API server listens");
  return {
    url: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      stop.abort();
      handler.close();
      server.closeIdleConnections();
      const cutOff = setTimeout(() => server.closeAllConnections(), closeGraceMs);
      await closed;
      clearTimeout(cutOff);
      await expiry;
    },
  };
}

/** The server, not listening yet. Throws `BadCredentials`. */
export function listener({ tls }: Pick<ApiServerOptions, "tls">): Server {
  try {
    const server = createServer({
      cert: tls.certPem,
      key: tls.keyPem,
      ca: tls.clientCaPem,
      // Bearer tokens are as good: whoever has neither is refused with a Status, not by the handshake.
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      // Uploads through a node's proxy take as long as they take; bodies of our own have a deadline in readBody.
      requestTimeout: 0,
      // Without it, the one above would switch this one off too.
      headersTimeout: headersTimeoutMs,
      noDelay: true,
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  } catch (cause) {
    throw new ApiServerError("the server's certificate, key or client authority cannot be used", {
      code: "BadCredentials",
      remedy: "Remove the certificate directory to have them made again.",
      cause,
    });
  }
}

async function listen(server: Server, { host, port, logger }: ApiServerOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(cause, host, port)));
    server.listen({ host, port }, () => {
      server.removeAllListeners("error");
      // A connection that cannot be accepted, for want of descriptors or memory, must not end the service.
      server.on("error", (error) => logger.error({ error: describeError(error) }, "a connection was not accepted"));
      resolve();
    });
  });
}

function listenError(cause: Error, host: string, port: number): ApiServerError {
  if (systemErrorCode(cause) === "EADDRINUSE") {
    return new ApiServerError(`port ${port} on ${host} is in use by another program`, {
      code: "PortInUse",
      object: `${host}:${port}`,
      remedy: "Choose another one with --port, or stop the program that listens there.",
      cause,
    });
  }
  return new ApiServerError(`cannot listen on ${host} port ${port}: ${cause.message}`, {
    code: "CannotListen",
    object: `${host}:${port}`,
    remedy: "Choose an address of this machine with --host and a port above 1023 with --port.",
    cause,
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
