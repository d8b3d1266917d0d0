import { once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { AttachStream, encodeFrame, FrameDecoder, frameTypes } from "@isopod/guest";

/** The guest's end of an exec: what a test says as the agent, and what reached it. */
export interface AgentEnd {
  /** Sends a frame to the host. */
  send(type: number, payload: string): void;
  exit(exitCode: number): void;
  /** Breaks the stream off, as a VM that is gone does. */
  breakOff(): void;
  /** Frames received so far: `[type, payload]`. */
  readonly received: readonly (readonly [number, string])[];
  /** Resolves once `isDone` holds for what was received. */
  until(isDone: (received: readonly (readonly [number, string])[]) => boolean): Promise<void>;
  /** Resolves when the host has closed the stream. */
  readonly closed: Promise<unknown>;
}

/** An exec over a real HTTP/2 session on loopback: the host's end as the node agent has it, and the guest's. */
export async function openAgentStream(): Promise<
  { readonly stream: AttachStream; readonly agent: AgentEnd } & AsyncDisposable
> {
  const server = createServer();
  const accepted = Promise.withResolvers<ServerHttp2Stream>();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    accepted.resolve(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const request = session.request({ ":method": "POST", ":path": "/v1/containers/c0-0/exec" });
  const [guest] = await Promise.all([accepted.promise, once(request, "response")]);
  const received: (readonly [number, string])[] = [];
  const decoder = new FrameDecoder();
  guest.on("data", (bytes: Buffer) => {
    for (const frame of decoder.push(bytes)) received.push([frame.type, frame.payload.toString()]);
    guest.emit("frame");
  });
  const exit = (exitCode: number): void => {
    const status = {
      exitCode,
      signal: 0,
      isOomKilled: false,
      startedMicros: 1,
      finishedMicros: 2,
      terminationMessage: "",
    };
    guest.end(encodeFrame(frameTypes.exit, JSON.stringify(status)));
  };
  return {
    stream: new AttachStream(request),
    agent: {
      send: (type, payload) => void guest.write(encodeFrame(type, payload)),
      exit,
      breakOff: () => guest.destroy(),
      received,
      until: async (isDone) => {
        while (!isDone(received)) await once(guest, "frame");
      },
      closed: once(guest, "close"),
    },
    [Symbol.asyncDispose]: async () => {
      session.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
