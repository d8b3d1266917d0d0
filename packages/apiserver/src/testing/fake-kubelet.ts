import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import type { Certificates } from "../certificates/ensure-certificates.ts";
import type { TestServer } from "./test-server.ts";

/** What the fake kubelet was asked. */
export interface KubeletRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Common name of the caller's certificate, when it is one of the authority's. */
  readonly caller: string | undefined;
  /** Resolves when the caller has gone away. */
  readonly closed: Promise<unknown>;
}

export interface FakeKubelet extends AsyncDisposable {
  readonly port: number;
  readonly requests: readonly KubeletRequest[];
}

const channel = { stdin: 0, stdout: 1, error: 3, close: 255 } as const;

/**
 * A kubelet port over real TLS and real WebSockets. Containers' logs are two lines, then silence when followed; exec
 * prints its command, echoes its input, and ends with status 3 for the command `fail`.
 */
export async function startFakeKubelet(certificates: Certificates, nodeName: string): Promise<FakeKubelet> {
  const serving = certificates.nodes.get(nodeName)?.serving;
  if (serving === undefined) throw new Error(`no certificate for ${nodeName}`);
  const requests: KubeletRequest[] = [];
  const server = createServer({
    cert: serving.certPem,
    key: serving.keyPem,
    ca: certificates.caPem,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const note = (request: IncomingMessage) => {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const { socket } = request;
    const noted: KubeletRequest = {
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      caller: socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject.CN) : undefined,
      closed: once(socket, "close"),
    };
    requests.push(noted);
    return noted;
  };
  server.on("request", (request, response) => void answer(note(request), request, response));
  const webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered].find((protocol) => protocol.endsWith("channel.k8s.io")) ?? false,
  });
  server.on("upgrade", (request, socket, head) => {
    const { query, path } = note(request);
    if (path.includes("/absent/")) {
      socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 23\r\n\r\nno such pod on the node");
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const send = (to: number, text: string) => webSocket.send(Buffer.concat([Buffer.from([to]), Buffer.from(text)]));
      const finish = () => {
        const failed = query.get("command") === "fail";
        const failure = {
          status: "Failure",
          reason: "NonZeroExitCode",
          message: "command terminated with exit code 3",
          details: { causes: [{ reason: "ExitCode", message: "3" }] },
        };
        send(channel.error, JSON.stringify({ metadata: {}, ...(failed ? failure : { status: "Success" }) }));
        // kubectl takes a close without a code for a broken connection.
        webSocket.close(1000);
      };
      send(channel.stdout, `${query.getAll("command").join(" ")}\n`);
      if (query.get("input") !== "1") return finish();
      webSocket.on("message", (data) => {
        const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
        if (bytes[0] === channel.stdin && bytes.length > 1) send(channel.stdout, bytes.subarray(1).toString());
        if (bytes[0] === channel.close && bytes[1] === channel.stdin) finish();
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      for (const webSocket of webSockets.clients) webSocket.terminate();
      server.close();
      await once(server, "close");
    },
  };
}

async function answer(
  { path, query, method }: KubeletRequest,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (path.startsWith("/containerLogs/") && path.includes("/waiting/")) {
    response.writeHead(400, { "Content-Type": "text/plain" });
    response.end('container "c" in pod "waiting" is waiting to start: ContainerCreating');
    return;
  }
  if (path.startsWith("/containerLogs/")) {
    response.writeHead(200, { "Content-Type": "text/plain" });
    response.write("line 1\nline 2\n");
    if (query.get("follow") !== "true") response.end();
    return;
  }
  if (path === "/echo") {
    response.writeHead(200, { "Content-Type": "application/octet-stream", "X-Method": method });
    request.pipe(response);
    return;
  }
  response.writeHead(404).end("no such path");
}

/** Registers the node with the fake kubelet's address, as a node agent would. */
export async function registerNode(test: TestServer, name: string, port: number): Promise<void> {
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    conditions: [{ type: "Ready", status: "True" }],
  };
  const answer = await test.call("POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status,
  });
  if (answer.status !== 201) throw new Error(answer.text);
}

/** Makes a pod and puts it on the node. */
export async function createBoundPod(test: TestServer, node: string, pod: object, name: string): Promise<void> {
  const pods = "/api/v1/namespaces/default/pods";
  const created = await test.call("POST", pods, pod);
  const binding = { apiVersion: "v1", kind: "Binding", metadata: { name }, target: { kind: "Node", name: node } };
  const bound = await test.call("POST", `${pods}/${name}/binding`, binding);
  if (created.status !== 201 || bound.status !== 201) throw new Error(created.text + bound.text);
}
