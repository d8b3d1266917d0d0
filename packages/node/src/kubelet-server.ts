import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { isNotFound, type Pod } from "@isopod/api";
import { describeError, type Logger, systemErrorCode } from "@isopod/base";
import { type AttachStream, type ExecSpec, GuestError, type GuestErrorCode } from "@isopod/guest";
import type { ImageStore } from "@isopod/image";
import { type WebSocket, WebSocketServer } from "ws";
import type { ContainerLog } from "./container-log.ts";
import { bridgeExec, refuseExec } from "./exec-bridge.ts";
import { serveImages } from "./image-endpoint.ts";
import { NodeError } from "./node-error.ts";
import type { NodeTemplates } from "./node-templates.ts";
import { serveTemplates } from "./template-endpoint.ts";

export interface KubeletTls {
  readonly certPem: string;
  readonly keyPem: string;
  /** Signs the certificates of clients that may ask: the API server's. */
  readonly clientCaPem: string;
}

/** What the server asks of a pod on this node; all throw {@link NodeError} for a container that is not there. */
export interface ServedPod {
  log(containerName: string, isPrevious: boolean): Promise<ContainerLog>;
  exec(containerName: string, spec: ExecSpec): Promise<AttachStream>;
  attach(containerName: string): Promise<AttachStream>;
  /** Variables of a command that is run in the container: the container's own. */
  execEnvironment(containerName: string): Promise<readonly string[]>;
}

export interface KubeletServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: KubeletTls;
  readonly logger: Logger;
  readonly images: ImageStore;
  /** Absent where machines are only booted: then `/templates` is not found. */
  readonly templates?: NodeTemplates;
  /** On the data disk: an archive may be larger than a temporary file system. */
  readonly uploadsDirectory: string;
  readonly findPod: (namespace: string, name: string) => ServedPod | undefined;
  readonly pods: () => readonly Pod[];
}

export interface KubeletServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The kubelet's HTTPS API, for the API server alone (client certificate): `/containerLogs`, `/exec`, `/attach`, `/pods`,
 * `/healthz`, and Isopod's own `/images` and `/templates`.
 */
export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { tls, logger } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: 4 * 1024 * 1024,
    handleProtocols: (offered) => ["v5.channel.k8s.io", "v4.channel.k8s.io"].find((one) => offered.has(one)) ?? false,
  });
  const server = createServer({
    cert: tls.certPem,
    key: tls.keyPem,
    ca: tls.clientCaPem,
    requestCert: true,
    rejectUnauthorized: true,
  });
  // Uploads of images and followed logs last as long as they last.
  server.requestTimeout = 0;
  server.on("request", (request, response) => {
    if (!isApiServer(request.socket as TLSSocket)) {
      response.writeHead(403, { "content-type": "text/plain; charset=utf-8" });
      return response.end("only the API server may ask");
    }
    void handle(options, request, response).catch((error: unknown) => {
      if (!response.headersSent) {
        response.writeHead(statusOf(error), { "content-type": "text/plain; charset=utf-8" });
        response.end(describeWithRemedy(error));
      } else response.destroy();
    });
  });
  server.on("upgrade", (request, socket, head) => {
    if (!isApiServer(socket as TLSSocket)) return socket.destroy();
    void upgrade(options, sockets, request, socket as TLSSocket, head).catch((error: unknown) => {
      const body = describeWithRemedy(error);
      const code = statusOf(error);
      socket.end(
        `HTTP/1.1 ${code} ${code === 404 ? "Not Found" : "Error"}\r\ncontent-type: text/plain; charset=utf-8\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const isTaken = systemErrorCode(cause) === "EADDRINUSE";
      reject(
        new NodeError(`the node agent's port ${options.port} ${isTaken ? "is already in use" : "cannot be opened"}`, {
          code: isTaken ? "PortInUse" : "Internal",
          stage: "node agent",
          object: `${options.host}:${options.port}`,
          remedy: "Choose another with --kubelet-port, or stop what listens there.",
          cause,
        }),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  // Accepting may fail later, for want of descriptors: that is no reason to end.
  server.on("error", (error) => logger.warn({ reason: describeError(error) }, "a connection was not accepted"));
  const { port } = server.address() as AddressInfo;
  logger.debug({ port }, "the node agent listens");
  return {
    port,
    close: async () => {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

function describeWithRemedy(error: unknown): string {
  const remedy =
    error instanceof Error && "remedy" in error && typeof error.remedy === "string" ? `. ${error.remedy}` : "";
  return `${describeError(error)}${remedy}`;
}

function statusOf(error: unknown): number {
  if (error instanceof NodeError) return error.message.includes("not found") ? 404 : 400;
  return isNotFound(error) ? 404 : 500;
}

async function handle(
  options: KubeletServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://node");
  const parts = url.pathname
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  if (parts[0] === "healthz" && parts.length === 1) {
    response.end("ok");
  } else if (parts[0] === "pods" && parts.length === 1) {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: {}, items: options.pods() }));
  } else if (parts[0] === "containerLogs" && parts.length === 4) {
    await serveLog(options, parts, url.searchParams, response);
  } else if (parts[0] === "images") {
    await serveImages(options.images, options.uploadsDirectory, parts.slice(1), url.searchParams, request, response);
  } else if (parts[0] === "templates" && options.templates !== undefined) {
    await serveTemplates(options.templates, parts.slice(1), url.searchParams, request, response);
  } else {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end(`no such path: ${url.pathname}`);
  }
}

function podOf(options: KubeletServerOptions, [, namespace = "", name = ""]: readonly string[]): ServedPod {
  const found = options.findPod(namespace, name);
  if (found !== undefined) return found;
  throw new NodeError(`pod ${namespace}/${name} not found on this node`, {
    code: "Internal",
    object: `${namespace}/${name}`,
  });
}

function number(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new NodeError(`${name}=${text} is not a number of 0 or more`, { code: "Internal", object: name });
}

async function serveLog(
  options: KubeletServerOptions,
  parts: readonly string[],
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const log = await podOf(options, parts).log(parts[3] ?? "", query.get("previous") === "true");
  const sinceSeconds = number(query, "sinceSeconds");
  const sinceTime = query.get("sinceTime");
  const sinceMs =
    sinceSeconds !== undefined
      ? Date.now() - sinceSeconds * 1000
      : sinceTime === null
        ? undefined
        : Date.parse(sinceTime);
  const tailLines = number(query, "tailLines");
  const limitBytes = number(query, "limitBytes");
  const stream = query.get("stream")?.toLowerCase();
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.flushHeaders();
  try {
    for await (const chunk of log.read({
      isFollowing: query.get("follow") === "true",
      hasTimestamps: query.get("timestamps") === "true",
      signal: gone.signal,
      ...(sinceMs === undefined ? {} : { sinceMs }),
      ...(tailLines === undefined ? {} : { tailLines }),
      ...(limitBytes === undefined ? {} : { limitBytes }),
      ...(stream === "stdout" || stream === "stderr" ? { stream } : {}),
    })) {
      if (!response.write(chunk)) {
        await new Promise<void>((resolve) => {
          response.once("drain", resolve);
          response.once("close", resolve);
        });
      }
    }
    response.end();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

async function upgrade(
  options: KubeletServerOptions,
  sockets: WebSocketServer,
  request: IncomingMessage,
  socket: TLSSocket,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => {});
  const url = new URL(request.url ?? "/", "https://node");
  const parts = url.pathname
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const [verb, , , container = ""] = parts;
  if ((verb !== "exec" && verb !== "attach") || parts.length !== 4) {
    throw new NodeError(`not found: ${url.pathname}`, { code: "Internal" });
  }
  const pod = podOf(options, parts);
  const query = url.searchParams;
  const is = (name: string): boolean => query.get(name) === "1" || query.get(name) === "true";
  let isJoined = false;
  const serve = (join: (webSocket: WebSocket) => Promise<void>): void =>
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // A frame that breaks the protocol closes the session; unheard, it would end the process.
      webSocket.on("error", (error) => options.logger.debug({ reason: error.message }, "an exec session was cut"));
      isJoined = true;
      void join(webSocket).catch((error: unknown) => {
        options.logger.warn({ reason: describeError(error) }, "an exec session broke");
        webSocket.close(1011);
      });
    });
  let stream: AttachStream;
  try {
    stream =
      verb === "attach"
        ? await pod.attach(container)
        : await pod.exec(container, await execSpec(pod, container, query.getAll("command"), is("tty"), is("input")));
  } catch (error) {
    const exitCode = error instanceof GuestError ? unstartedExitCodes[error.code] : undefined;
    if (exitCode === undefined) throw error;
    const reason = describeError(error);
    return serve(async (webSocket) => await refuseExec(webSocket, exitCode, reason));
  }
  serve(async (webSocket) => await bridgeExec(webSocket, stream));
  // The client went away meanwhile, or its handshake was refused: nobody will read the command's output.
  if (!isJoined) await stream.close();
}

/** Users whose certificate may ask for anything here: the API server's, and an administrator's for looking into trouble. */
const allowedUser = "kube-apiserver-kubelet-client";
const allowedGroup = "system:masters";

function isApiServer(socket: TLSSocket): boolean {
  const subject = socket.getPeerCertificate()?.subject;
  return subject?.CN === allowedUser || [subject?.O].flat().includes(allowedGroup);
}

/** What a shell ends with for a command that is not there, or is none. */
const unstartedExitCodes: Partial<Record<GuestErrorCode, number>> = { CommandNotFound: 127, CommandNotExecutable: 126 };

async function execSpec(
  pod: ServedPod,
  container: string,
  args: readonly string[],
  isTerminal: boolean,
  hasStdin: boolean,
): Promise<ExecSpec> {
  if (args.length === 0)
    throw new NodeError("you must specify at least one command for the container", { code: "NoCommand" });
  const env = await pod.execEnvironment(container);
  return { args, env, workingDirectory: "", user: "", isTerminal, hasStdin };
}
