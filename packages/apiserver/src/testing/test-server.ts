import { mkdir } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { openSqliteStore, type Store } from "@isopod/store";
import { type Certificates, ensureCertificates } from "../certificates/ensure-certificates.ts";
import { writeKubeconfig } from "../certificates/kubeconfig.ts";
import type { ApiServer, ApiServerOptions } from "../contract.ts";
import { startApiServer } from "../server.ts";

export interface TestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** The parsed body; tests look into it as they like. */
  // biome-ignore lint/suspicious/noExplicitAny: a test knows what it asked for.
  readonly json: any;
}

export interface TestServer extends AsyncDisposable {
  readonly server: ApiServer;
  readonly store: Store;
  readonly certificates: Certificates;
  readonly directory: string;
  readonly kubeconfig: string;
  /** Sends a request as the administrator. `body` goes as JSON unless it is text or bytes. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<TestAnswer>;
  /** Opens a watch and yields its events. */
  watch(path: string, signal: AbortSignal): AsyncGenerator<{ type: string; object: TestAnswer["json"] }>;
}

export const adminToken = "test-token-of-the-administrator";

/** A real server over a real store, on a free port of the loopback, with all it needs in a temporary directory. */
export async function startTestServer(
  overrides: Partial<ApiServerOptions> & { readonly nodeNames?: readonly string[]; readonly historyMs?: number } = {},
): Promise<TestServer> {
  const directory = await temporaryDirectory("isopod-apiserver-");
  const { nodeNames = ["node-1"], historyMs, ...serverOptions } = overrides;
  const certificates = await ensureCertificates({
    directory: join(directory.path, "certificates"),
    hosts: [],
    nodeNames,
    clock: systemClock,
  });
  await mkdir(join(directory.path, "home"));
  const store = await openSqliteStore({
    path: join(directory.path, "store.db"),
    clock: systemClock,
    progressIntervalMs: 100,
    ...(historyMs === undefined ? {} : { historyMs }),
  });
  const server = await startApiServer({
    store,
    clock: systemClock,
    logger: silentLogger,
    host: "127.0.0.1",
    port: 0,
    tls: { ...certificates.server, clientCaPem: certificates.caPem },
    tokens: [{ token: adminToken, user: "admin", groups: ["system:masters"] }],
    kubeletClient: { ...certificates.kubeletClient, caPem: certificates.caPem },
    ...serverOptions,
  });
  const kubeconfig = join(directory.path, "kubeconfig");
  await writeKubeconfig(kubeconfig, { server: server.url, caPem: certificates.caPem, credential: certificates.admin });
  const agent = new Agent({ ca: certificates.caPem, keepAlive: true, maxSockets: 64 });

  const open = (
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ) => {
    const bytes =
      body === undefined || typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
    const request = httpsRequest(`${server.url}${path}`, {
      method,
      agent,
      headers: {
        Authorization: `Bearer ${adminToken}`,
        ...(bytes === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      ...(signal === undefined ? {} : { signal }),
    });
    request.end(bytes);
    return request;
  };

  return {
    server,
    store,
    certificates,
    directory: directory.path,
    kubeconfig,
    call: async (method, path, body, headers = {}) =>
      await new Promise<TestAnswer>((resolve, reject) => {
        const request = open(method, path, body, headers);
        request.on("error", reject);
        request.on("response", async (response) => {
          try {
            const text = Buffer.concat(await response.toArray()).toString();
            const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              json: isJson ? JSON.parse(text) : undefined,
            });
          } catch (error) {
            reject(error);
          }
        });
      }),
    async *watch(path, signal) {
      const request = open("GET", path, undefined, {}, signal);
      const response = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
        request.on("response", resolve).on("error", reject);
      });
      let rest = "";
      try {
        for await (const chunk of response) {
          const lines = (rest + chunk.toString()).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) yield JSON.parse(line);
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await server.close();
      await store[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}
