import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { CertificateSubject, KeyPair } from "./issue.ts";

/** Renewed when less than this is left: a machine that is on once a month still renews in time. */
const renewBeforeMs = 30 * 24 * 3600 * 1000;

/** True when the pair belongs together, is in force, and stays so for a while. */
export function isInForce(pair: KeyPair, nowMs: number): boolean {
  try {
    const certificate = new X509Certificate(pair.certPem);
    return (
      certificate.checkPrivateKey(createPrivateKey(pair.keyPem)) &&
      certificate.validFromDate.getTime() <= nowMs &&
      certificate.validToDate.getTime() > nowMs + renewBeforeMs
    );
  } catch {
    // Half-written or foreign content: as good as none.
    return false;
  }
}

/** True when `pair` is in force, signed by `authority`, and says exactly what `subject` asks for. */
export function isIssuedFor(pair: KeyPair, authority: KeyPair, subject: CertificateSubject, nowMs: number): boolean {
  if (!isInForce(pair, nowMs)) return false;
  const certificate = new X509Certificate(pair.certPem);
  const issuer = new X509Certificate(authority.certPem);
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return false;
  const wanted = [...subject.organizations.map((name) => `O=${name}`), `CN=${subject.commonName}`].join("\n");
  return certificate.subject === wanted && sameHosts(certificate, subject.hosts);
}

function sameHosts(certificate: X509Certificate, hosts: readonly string[]): boolean {
  const count = (certificate.subjectAltName ?? "").split(", ").filter((name) => name !== "").length;
  return (
    count === hosts.length &&
    hosts.every((host) => {
      const found = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
      return found !== undefined;
    })
  );
}
