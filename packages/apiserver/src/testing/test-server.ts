import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { silentLogger, systemClock, temporaryDirectory } from "@isopod/base";
import { openSqliteStore, type Store } from "@isopod/store";
import { type Certificates, ensureCertificates } from "../certificates/ensure-certificates.ts";
import { writeKubeconfig } from "../certificates/kubeconfig.ts";
import type { ApiServer, ApiServerOptions } from "../contract.ts";
import { destroyOnAbort } from "../kubelet/kubelet-request.ts";
import { startApiServer } from "../server.ts";

/** Parsed JSON in a form that tests can reach into; what is asserted is compared as a value. */
export interface Json {
  readonly [key: string]: Json | undefined;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** The parsed body; empty when it is not JSON. */
  readonly json: Json;
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
  watch(path: string, signal: AbortSignal): AsyncGenerator<{ type: string; object: Json }>;
}

export const adminToken = "test-token-of-the-administrator";

async function readAnswer(response: IncomingMessage): Promise<TestAnswer> {
  const text = Buffer.concat(await response.toArray()).toString();
  const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
  const json: Json = isJson ? JSON.parse(text) : {};
  return { status: response.statusCode ?? 0, headers: response.headers, text, json };
}

/** The elements of a JSON array. */
export function elements(json: Json | undefined): readonly Json[] {
  assert.ok(Array.isArray(json), "a JSON array");
  return json;
}

/** `metadata.name` of each item of a list. */
export function names(list: Json): readonly unknown[] {
  return elements(list["items"]).map((item) => item.metadata?.name);
}

/** The smallest pod. */
export function podNamed(name: string, over: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...over },
    spec: { containers: [{ name: "c", image: "busybox" }] },
  };
}

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
  const closeStorage = async () => {
    await store[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
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
  }).catch(async (error: unknown) => {
    await closeStorage();
    throw error;
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
        // Node frames the body of a DELETE only when it is told the length.
        ...(bytes === undefined
          ? {}
          : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(bytes) }),
        ...headers,
      },
    });
    if (signal !== undefined) destroyOnAbort(request, signal);
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
        request.on("response", (response) => resolve(readAnswer(response)));
      }),
    async *watch(path, signal) {
      const request = open("GET", path, undefined, {}, signal);
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        request.on("response", resolve).on("error", reject);
      });
      // Aborting after the server's own end is no error of the test.
      response.on("error", () => {});
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
      await closeStorage();
    },
  };
}
