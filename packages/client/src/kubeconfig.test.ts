import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { ClientError } from "./client-error.ts";
import { KubeClient } from "./kube-client.ts";
import { loadKubeconfig } from "./kubeconfig.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

const complete = {
  apiVersion: "v1",
  kind: "Config",
  "current-context": "here",
  contexts: [{ name: "here", context: { cluster: "c", user: "u", namespace: "team" } }],
  clusters: [
    { name: "c", cluster: { server: "https://127.0.0.1:6443", "certificate-authority-data": base64("CA PEM") } },
  ],
  users: [{ name: "u", user: { token: "secret" } }],
};

async function load(document: object | string, context?: string, files: Readonly<Record<string, string>> = {}) {
  await using directory = await temporaryDirectory("isopod-kubeconfig-");
  const path = join(directory.path, "config");
  await writeFile(path, typeof document === "string" ? document : JSON.stringify(document));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory.path, name), text);
  return await loadKubeconfig(path, context);
}

const refuses = async (what: RegExp, document: object | string, context?: string): Promise<void> => {
  await assert.rejects(load(document, context), (error) => {
    assert.ok(error instanceof ClientError);
    assert.equal(error.code, "InvalidKubeconfig");
    assert.match(error.message, what);
    assert.notEqual(error.remedy, undefined);
    return true;
  });
};

test("the current context gives server, authority, credential and namespace", async () => {
  assert.deepEqual(await load(complete), {
    server: "https://127.0.0.1:6443",
    caPem: "CA PEM",
    token: "secret",
    namespace: "team",
  });
});

test("files named in a kubeconfig are read relative to it", async () => {
  const config = await load(
    {
      ...complete,
      clusters: [{ name: "c", cluster: { server: "https://h:1", "certificate-authority": "ca.pem" } }],
      users: [
        { name: "u", user: { "client-certificate": "me.pem", "client-key-data": base64("KEY"), tokenFile: "token" } },
      ],
    },
    undefined,
    { "ca.pem": "CA", "me.pem": "ME", token: "of a file\n" },
  );
  assert.deepEqual(config, {
    server: "https://h:1",
    caPem: "CA",
    certPem: "ME",
    keyPem: "KEY",
    token: "of a file",
    namespace: "team",
  });
});

test("each missing piece of a kubeconfig is named", async () => {
  const cluster = { server: "https://h:1", "certificate-authority-data": base64("CA") };
  await refuses(/cannot be read/, "a: [");
  await refuses(/names no current context/, {});
  await refuses(/has no context other/, complete, "other");
  await refuses(/has no cluster c/, { ...complete, clusters: [] });
  await refuses(/has no user u/, { ...complete, users: [] });
  await refuses(/has no server for cluster c/, {
    ...complete,
    clusters: [{ name: "c", cluster: { ...cluster, server: "" } }],
  });
  await refuses(/has no certificate-authority/, {
    ...complete,
    clusters: [{ name: "c", cluster: { server: "https://h:1" } }],
  });
  await refuses(/client-certificate the file gone\.pem/, {
    ...complete,
    users: [{ name: "u", user: { "client-certificate": "gone.pem" } }],
  });
  await refuses(/logs in by exec/, { ...complete, users: [{ name: "u", user: { exec: { command: "aws" } } }] });
});

test("a kubeconfig that does not exist is told as that", async () => {
  await assert.rejects(loadKubeconfig("/nonexistent/config"), { code: "InvalidKubeconfig" });
});

test("a server that is no HTTPS URL is refused before anything is sent to it", () => {
  for (const server of ["", "127.0.0.1:6443", "http://127.0.0.1:6443"]) {
    assert.throws(() => new KubeClient({ server, caPem: "", token: "secret" }), { code: "InvalidKubeconfig" });
  }
});
