import { writeFileAtomically } from "@isopod/base";
import type { KeyPair } from "./issue.ts";

export interface KubeconfigOptions {
  /** The server's URL: `https://127.0.0.1:6443`. */
  readonly server: string;
  readonly caPem: string;
  readonly credential: { readonly token: string } | KeyPair;
  /** Names the context, cluster and user; default `isopod`. */
  readonly name?: string;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Writes a kubeconfig file for its owner alone, all or nothing. JSON, which is YAML to every client. */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  const { name = "isopod", credential } = options;
  const user =
    "token" in credential
      ? { token: credential.token }
      : {
          "client-certificate-data": base64(credential.certPem),
          "client-key-data": base64(credential.keyPem),
        };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    clusters: [{ name, cluster: { server: options.server, "certificate-authority-data": base64(options.caPem) } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    users: [{ name, user }],
  };
  await writeFileAtomically(path, `${JSON.stringify(config, undefined, 2)}\n`, 0o600);
}
