// The library resolves its parts through decorators and needs this first.
import "reflect-metadata";
import { webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A certificate and its private key (PKCS #8), both PEM. */
export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** Who a certificate is for. Kubernetes reads CN as the user and each O as a group. */
export interface CertificateSubject {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** DNS names and addresses a server answers to. */
  readonly hosts: readonly string[];
  readonly usages: readonly ("server" | "client")[];
}

const dayMs = 24 * 3600 * 1000;
/** Clocks of other machines may be behind ours by this much. */
const skewMs = 5 * 60 * 1000;
const authorityLifetimeMs = 3650 * dayMs;
const leafLifetimeMs = 365 * dayMs;

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" } as const;

/** Makes a self-signed authority, good for ten years. */
export async function issueAuthority(commonName: string, nowMs: number): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: [{ CN: [commonName] }],
      notBefore: new Date(nowMs - skewMs),
      notAfter: new Date(nowMs + authorityLifetimeMs),
      signingAlgorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: await privateKeyPem(keys.privateKey) };
}

/** Makes a certificate signed by `authority`, good for one year. */
export async function issueCertificate(
  authority: KeyPair,
  subject: CertificateSubject,
  nowMs: number,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const issuer = new X509Certificate(authority.certPem);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: [...subject.organizations.map((organization) => ({ O: [organization] })), { CN: [subject.commonName] }],
      issuer: [{ CN: [issuer.subject.replace(/^CN=/, "")] }],
      notBefore: new Date(nowMs - skewMs),
      notAfter: new Date(nowMs + leafLifetimeMs),
      signingAlgorithm,
      publicKey: keys.publicKey,
      signingKey: await importPrivateKey(authority.keyPem),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(
          subject.usages.map((usage) =>
            usage === "server" ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth,
          ),
        ),
        await AuthorityKeyIdentifierExtension.create(await authorityPublicKey(issuer), false, webcrypto),
        ...(subject.hosts.length === 0
          ? []
          : [
              new SubjectAlternativeNameExtension(
                subject.hosts.map((host) => ({ type: isIP(host) === 0 ? "dns" : "ip", value: host })),
              ),
            ]),
      ],
    },
    webcrypto,
  );
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: await privateKeyPem(keys.privateKey) };
}

/** Positive, as RFC 5280 4.1.2.2 asks, and random, so that a renewed authority never repeats one. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

async function importPrivateKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  return await webcrypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(keyPem), keyAlgorithm, false, ["sign"]);
}

async function authorityPublicKey(certificate: X509Certificate): Promise<webcrypto.CryptoKey> {
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  return await webcrypto.subtle.importKey("spki", spki, keyAlgorithm, true, ["verify"]);
}
