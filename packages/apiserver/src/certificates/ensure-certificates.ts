import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Clock, systemErrorCode, writeFileAtomically } from "@isopod/base";
import { isInForce, isIssuedFor } from "./inspect.ts";
import { type CertificateSubject, issueAuthority, issueCertificate, type KeyPair } from "./issue.ts";

export interface EnsureCertificatesOptions {
  /** Where the files live; made when missing, for its owner alone. */
  readonly directory: string;
  /** Names and addresses by which this machine is reached, beside 127.0.0.1, ::1 and localhost. */
  readonly hosts: readonly string[];
  /** Nodes to make a client and a serving certificate for. */
  readonly nodeNames: readonly string[];
  readonly clock: Clock;
}

export interface NodeCertificates {
  /** For the node agent's own requests: user `system:node:<name>`, group `system:nodes`. */
  readonly client: KeyPair;
  /** For the node's kubelet port. */
  readonly serving: KeyPair;
}

export interface Certificates {
  /** Signs all the others; trusted by clients, by the server for client certificates, and by it for kubelets. */
  readonly caPem: string;
  readonly server: KeyPair;
  /** The administrator: user `isopod-admin`, group `system:masters`. */
  readonly admin: KeyPair;
  /** What the API server shows to kubelets: user `kube-apiserver-kubelet-client`. */
  readonly kubeletClient: KeyPair;
  readonly nodes: ReadonlyMap<string, NodeCertificates>;
}

const loopback = ["127.0.0.1", "::1", "localhost"] as const;
/** Names under which programs in a cluster know the API server. */
const serviceNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
] as const;

/**
 * Reads the certificates of an installation, making those that are missing, near their end (30 days), for other hosts,
 * or not of this authority. Private keys are readable by their owner only. Safe to repeat; a crash in between leaves
 * files that the next call repairs. Not safe for two processes at once: the store's lock sees to that.
 */
export async function ensureCertificates(options: EnsureCertificatesOptions): Promise<Certificates> {
  const { directory, clock } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = await ensureAuthority(directory, clock.nowMs());
  const ensure = (name: string, subject: CertificateSubject) =>
    ensureIssued(join(directory, name), authority, subject, clock.nowMs());
  const hosts = [...new Set([...loopback, ...options.hosts])];

  const nodes = new Map<string, NodeCertificates>();
  for (const name of options.nodeNames) {
    nodes.set(name, {
      client: await ensure(`nodes/${fileName(name)}/client`, client(`system:node:${name}`, ["system:nodes"])),
      serving: await ensure(`nodes/${fileName(name)}/serving`, {
        commonName: `system:node:${name}`,
        organizations: ["system:nodes"],
        hosts: [...new Set([...hosts, name])],
        usages: ["server"],
      }),
    });
  }
  return {
    caPem: authority.certPem,
    server: await ensure("server", {
      commonName: "kube-apiserver",
      organizations: [],
      hosts: [...new Set([...hosts, ...serviceNames])],
      usages: ["server"],
    }),
    admin: await ensure("admin", client("isopod-admin", ["system:masters"])),
    kubeletClient: await ensure("kubelet-client", client("kube-apiserver-kubelet-client", ["system:masters"])),
    nodes,
  };
}

function client(commonName: string, organizations: readonly string[]): CertificateSubject {
  return { commonName, organizations, hosts: [], usages: ["client"] };
}

/** Node names are DNS names; anything else must not become a path. */
function fileName(nodeName: string): string {
  return nodeName.replace(/[^a-z0-9.-]/g, "_").replace(/^\.+/, "_");
}

async function ensureAuthority(directory: string, nowMs: number): Promise<KeyPair> {
  const path = join(directory, "ca");
  const found = await readPair(path);
  if (found !== undefined && isInForce(found, nowMs)) return found;
  const made = await issueAuthority(`isopod-ca-${Math.floor(nowMs / 1000)}`, nowMs);
  await writePair(path, made);
  return made;
}

async function ensureIssued(
  path: string,
  authority: KeyPair,
  subject: CertificateSubject,
  nowMs: number,
): Promise<KeyPair> {
  const found = await readPair(path);
  if (found !== undefined && isIssuedFor(found, authority, subject, nowMs)) return found;
  const made = await issueCertificate(authority, subject, nowMs);
  await writePair(path, made);
  return made;
}

async function readPair(path: string): Promise<KeyPair | undefined> {
  try {
    const [certPem, keyPem] = await Promise.all([readFile(`${path}.crt`, "utf8"), readFile(`${path}.key`, "utf8")]);
    return { certPem, keyPem };
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function writePair(path: string, pair: KeyPair): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomically(`${path}.key`, pair.keyPem, 0o600);
  await writeFileAtomically(`${path}.crt`, pair.certPem, 0o644);
}
