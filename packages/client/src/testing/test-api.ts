import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ensureCertificates, startApiServer } from "@isopod/apiserver";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { openSqliteStore, type Store } from "@isopod/store";
import type { ClientConfig } from "../transport.ts";
import { KubeClient } from "../kube-client.ts";

/** A real API server over a real store, and an administrator's client for it. */
export interface TestApi extends AsyncDisposable {
  readonly client: KubeClient;
  readonly config: ClientConfig;
  readonly store: Store;
  /** Ends the server, with every watch, and starts it again on the same port over the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  /** A second server over the same data, on a port of its own. */
  another(): Promise<{ readonly client: KubeClient } & AsyncDisposable>;
}

export async function startTestApi(options: { readonly historyMs?: number } = {}): Promise<TestApi> {
  const directory = await temporaryDirectory("isopod-test-api-");
  const certificates = await ensureCertificates({
    directory: join(directory.path, "certificates"),
    hosts: [],
    nodeNames: [],
    clock: systemClock,
  });
  await mkdir(join(directory.path, "data"));
  const store = await openSqliteStore({
    path: join(directory.path, "data", "store.db"),
    clock: systemClock,
    progressIntervalMs: 100,
    ...options,
  });
  const start = async (port: number) =>
    await startApiServer({
      store,
      clock: systemClock,
      logger: silentLogger,
      host: "127.0.0.1",
      port,
      tls: { ...certificates.server, clientCaPem: certificates.caPem },
      tokens: [{ token: "test-token", user: "admin", groups: ["system:masters"] }],
      kubeletClient: { ...certificates.kubeletClient, caPem: certificates.caPem },
      bookmarkIntervalMs: 200,
    });
  let server = await start(0);
  const { port } = server;
  const config: ClientConfig = { server: server.url, caPem: certificates.caPem, token: "test-token" };
  const client = new KubeClient(config);
  return {
    client,
    config,
    store,
    restart: async () => {
      await server.close();
      server = await start(port);
    },
    stop: async () => await server.close(),
    another: async () => {
      const second = await start(0);
      const secondClient = new KubeClient({ ...config, server: second.url });
      return {
        client: secondClient,
        [Symbol.asyncDispose]: async () => {
          secondClient[Symbol.dispose]();
          await second.close();
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]();
      await server.close();
      await store[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}
