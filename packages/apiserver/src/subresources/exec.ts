import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { badRequest } from "@isopod/api";
import { type KubeletEndpoint, kubeletEndpoint } from "../kubelet/kubelet-endpoint.ts";
import { kubeletRequest } from "../kubelet/kubelet-request.ts";
import { podContainer } from "../kubelet/pod-container.ts";
import { kubeletError, unreachable } from "../kubelet/relay.ts";
import type { ObjectReference } from "../objects/object-key.ts";
import type { RequestContext } from "../request-context.ts";

/** The API's names of the streams, and the kubelet's. */
const streamParameters = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" } as const;
const trueValues = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const webSocketHeaders = ["sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"] as const;

export const execSubresources = ["exec", "attach"] as const;
export type ExecSubresource = (typeof execSubresources)[number];

/**
 * `GET pods/NAME/exec` as a WebSocket upgrade. The client and the kubelet shake hands through us; from the kubelet's
 * 101 on, bytes pass unread in both directions (`v5.channel.k8s.io` and its elders).
 * Throws, before anything was sent: BadRequest for an upgrade other than WebSocket, what the kubelet refuses, NotFound…
 */
export async function exec(
  context: RequestContext,
  reference: ObjectReference,
  subresource: ExecSubresource,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  checkUpgrade(context.request);
  const { container, nodeName } = await podContainer(context, reference);
  const endpoint = await kubeletEndpoint(context, nodeName);
  const where = [reference.namespace, reference.name, container].map(encodeURIComponent).join("/");
  const path = `/${subresource}/${where}?${kubeletQuery(context.query)}`;
  const upgraded = await upgrade(context, endpoint, path);
  socket.write(handshake(upgraded.answer));
  join(socket, head, upgraded.socket, upgraded.head);
}

function checkUpgrade({ headers, method }: IncomingMessage): void {
  if (method === "GET" && headers.upgrade?.toLowerCase() === "websocket") return;
  throw badRequest(
    `unable to upgrade: this needs WebSocket (kubectl 1.30 or newer), the client asked for ${headers.upgrade ?? "no upgrade"}`,
  );
}

function kubeletQuery(query: URLSearchParams): URLSearchParams {
  const translated = new URLSearchParams();
  for (const command of query.getAll("command")) translated.append("command", command);
  for (const [name, kubeletName] of Object.entries(streamParameters)) {
    if (trueValues.has(query.get(name) ?? "")) translated.set(kubeletName, "1");
  }
  return translated;
}

interface Upgraded {
  readonly answer: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

async function upgrade(context: RequestContext, endpoint: KubeletEndpoint, path: string): Promise<Upgraded> {
  const headers: Record<string, string> = { Connection: "Upgrade", Upgrade: "websocket" };
  for (const name of webSocketHeaders) {
    const value = context.request.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  return await new Promise<Upgraded>((resolve, reject) => {
    const outgoing = kubeletRequest(endpoint, { method: "GET", path, headers }, context.signal);
    outgoing.on("upgrade", (answer, socket, head) => resolve({ answer, socket, head }));
    outgoing.on("response", (answer) => {
      kubeletError(answer).then(reject, reject);
    });
    outgoing.on("error", (cause) => reject(unreachable(endpoint, cause)));
    outgoing.end();
  });
}

/** The kubelet's 101, header by header: it answers to the client's key. */
function handshake(answer: IncomingMessage): string {
  const lines = ["HTTP/1.1 101 Switching Protocols"];
  for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2) {
    lines.push(`${answer.rawHeaders[index]}: ${answer.rawHeaders[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Joins two sockets until either ends; what they already received goes first. */
function join(client: Duplex, clientHead: Buffer, kubelet: Duplex, kubeletHead: Buffer): void {
  if (kubeletHead.length > 0) client.write(kubeletHead);
  if (clientHead.length > 0) kubelet.write(clientHead);
  const pairs = [
    [client, kubelet],
    [kubelet, client],
  ] as const;
  for (const [from, to] of pairs) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}
