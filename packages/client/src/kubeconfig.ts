import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ClientError } from "./client-error.ts";
import type { ClientConfig } from "./transport.ts";

/**
 * Reads the current context (or the named one) of a kubeconfig file.
 * Throws {@link ClientError} `InvalidKubeconfig` naming the missing piece.
 */
export async function loadKubeconfig(path: string, contextName?: string): Promise<ClientConfig> {
  const fail = (what: string, cause?: unknown): never => {
    throw new ClientError(`the kubeconfig ${path} ${what}`, {
      code: "InvalidKubeconfig",
      object: path,
      remedy: "Start the service with `isopod up`, which writes one, and point KUBECONFIG at it.",
      ...(cause === undefined ? {} : { cause }),
    });
  };
  let document: unknown;
  try {
    document = await parseDocument(await readFile(path, "utf8"));
  } catch (cause) {
    return fail("cannot be read", cause);
  }
  const current = contextName ?? text(document, "current-context") ?? fail("names no current context");
  const context = named(document, "contexts", current, "context") ?? fail(`has no context ${current}`);
  const clusterName = text(context, "cluster") ?? "";
  const cluster = named(document, "clusters", clusterName, "cluster") ?? fail(`has no cluster ${clusterName}`);
  const userName = text(context, "user");
  const user =
    userName === undefined
      ? undefined
      : (named(document, "users", userName, "user") ?? fail(`has no user ${userName}`));
  const fromFile = async (holder: unknown, key: string): Promise<string | undefined> => {
    const file = text(holder, key);
    if (file === undefined) return undefined;
    return await readFile(resolve(dirname(path), file), "utf8").catch((cause: unknown) =>
      fail(`names as ${key} the file ${file}, which cannot be read`, cause),
    );
  };
  const pem = async (holder: unknown, key: string): Promise<string | undefined> => {
    const data = text(holder, `${key}-data`);
    return data === undefined ? await fromFile(holder, key) : Buffer.from(data, "base64").toString("utf8");
  };
  const caPem = await pem(cluster, "certificate-authority");
  const certPem = await pem(user, "client-certificate");
  const keyPem = await pem(user, "client-key");
  const token = text(user, "token") ?? (await fromFile(user, "tokenFile"))?.trim();
  for (const key of ["exec", "auth-provider"]) {
    if (field(user, key) !== undefined) fail(`logs in by ${key}, which is not supported; use a token or a certificate`);
  }
  const namespace = text(context, "namespace");
  return {
    server: text(cluster, "server") ?? fail(`has no server for cluster ${clusterName}`),
    caPem: caPem ?? fail("has no certificate-authority"),
    ...(certPem === undefined ? {} : { certPem }),
    ...(keyPem === undefined ? {} : { keyPem }),
    ...(token === undefined ? {} : { token }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

/** JSON, as the service writes it, is YAML too; loading and running a YAML parser takes 15 ms. */
async function parseDocument(content: string): Promise<unknown> {
  try {
    return JSON.parse(content);
  } catch {
    const { parse } = await import("yaml");
    return parse(content);
  }
}

function field(holder: unknown, key: string): unknown {
  return typeof holder === "object" && holder !== null ? Reflect.get(holder, key) : undefined;
}

function text(holder: unknown, key: string): string | undefined {
  const value = field(holder, key);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function named(document: unknown, list: string, name: string, key: string): unknown {
  const entries = field(document, list);
  if (!Array.isArray(entries)) return undefined;
  return field(
    entries.find((entry) => field(entry, "name") === name),
    key,
  );
}
