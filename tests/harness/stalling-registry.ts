import { once } from "node:events";
import { createServer, request as httpRequest, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestRegistry } from "./registry.ts";

/** A registry in front of another that sends half of each layer and then nothing, until it is let go. */
export interface StallingRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Answers that hang now. */
  readonly stalled: number;
  /** From now on everything is answered whole; what hangs is cut off. */
  letGo(): void;
}

/** Blobs of this size and more are layers; smaller ones are configurations. */
const layerBytes = 100_000;

export async function startStallingRegistry(behind: TestRegistry): Promise<StallingRegistry> {
  const hanging = new Set<ServerResponse>();
  const begun = new Set<string>();
  let isStalling = true;
  const server = createServer((incoming, response) => {
    const headers = { ...incoming.headers, host: behind.host };
    const forwarded = httpRequest(
      { host: "127.0.0.1", port: behind.host.split(":")[1], path: incoming.url, method: incoming.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        const sizeBytes = Number(answer.headers["content-length"] ?? 0);
        const path = incoming.url ?? "";
        const isKnown = begun.has(path);
        if (!isStalling || incoming.method !== "GET" || (sizeBytes < layerBytes && !isKnown)) {
          answer.pipe(response);
          return;
        }
        // Whoever asks for the rest gets nothing of it.
        let leftBytes = isKnown ? 0 : Math.floor(sizeBytes / 2);
        begun.add(path);
        response.flushHeaders();
        hanging.add(response);
        response.once("close", () => hanging.delete(response));
        answer.on("data", (chunk: Buffer) => {
          response.write(chunk.subarray(0, leftBytes));
          leftBytes -= Math.min(leftBytes, chunk.length);
          if (leftBytes === 0) answer.destroy();
        });
        answer.on("error", () => {});
      },
    );
    forwarded.on("error", () => response.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get stalled() {
      return hanging.size;
    },
    letGo: () => {
      isStalling = false;
      for (const response of hanging) response.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
