import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { join } from "node:path";
import { ensureCertificates } from "@isopod/apiserver";
import { systemClock, temporaryDirectory } from "@isopod/base";
import type { ClientConfig } from "../transport.ts";

export interface ScriptedServer extends AsyncDisposable {
  readonly config: ClientConfig;
}

/** An HTTPS server that misbehaves as the test says. */
export async function startScriptedServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<ScriptedServer> {
  await using directory = await temporaryDirectory("isopod-client-");
  const certificates = await ensureCertificates({
    directory: join(directory.path, "certificates"),
    hosts: [],
    nodeNames: [],
    clock: systemClock,
  });
  const server = createServer({ cert: certificates.server.certPem, key: certificates.server.keyPem }, answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    config: { server: `https://127.0.0.1:${address.port}`, caPem: certificates.caPem },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
