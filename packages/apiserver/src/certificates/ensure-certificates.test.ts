import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Clock, systemClock, type TemporaryDirectory, temporaryDirectory } from "@isopod/base";
import { ensureCertificates } from "./ensure-certificates.ts";

const dayMs = 24 * 3600 * 1000;
const later = (days: number): Clock => ({ ...systemClock, nowMs: () => Date.now() + days * dayMs });

describe("certificates", () => {
  let root: TemporaryDirectory;
  let count = 0;
  before(async () => {
    root = await temporaryDirectory();
  });
  after(async () => {
    await root[Symbol.asyncDispose]();
  });
  const fresh = () => ({
    directory: join(root.path, String(count++)),
    hosts: ["10.0.0.5", "host.example"],
    nodeNames: ["node-1"],
    clock: systemClock,
  });

  it("are made once and read back the same", async () => {
    const options = fresh();
    const first = await ensureCertificates(options);
    const second = await ensureCertificates(options);
    assert.deepEqual(second, first);
  });

  it("name all hosts, users and groups, and chain to the authority", async () => {
    const made = await ensureCertificates(fresh());
    const authority = new X509Certificate(made.caPem);
    assert.equal(authority.ca, true);
    const server = new X509Certificate(made.server.certPem);
    assert.ok(server.verify(authority.publicKey) && server.checkIssued(authority));
    for (const host of ["localhost", "host.example", "kubernetes.default.svc"])
      assert.equal(server.checkHost(host), host);
    for (const ip of ["127.0.0.1", "10.0.0.5", "::1"]) assert.ok(server.checkIP(ip));
    assert.equal(new X509Certificate(made.admin.certPem).subject, "O=system:masters\nCN=isopod-admin");
    const node = made.nodes.get("node-1");
    assert.equal(new X509Certificate(node?.client.certPem ?? "").subject, "O=system:nodes\nCN=system:node:node-1");
    assert.equal(new X509Certificate(node?.serving.certPem ?? "").checkHost("node-1"), "node-1");
  });

  it("keep private keys to their owner", async () => {
    const options = fresh();
    await ensureCertificates(options);
    for (const name of ["ca", "server", "admin", "kubelet-client", "nodes/node-1/client", "nodes/node-1/serving"]) {
      assert.equal((await stat(join(options.directory, `${name}.key`))).mode & 0o777, 0o600, name);
    }
  });

  it("are renewed when hosts change, the authority staying", async () => {
    const options = fresh();
    const first = await ensureCertificates(options);
    const second = await ensureCertificates({ ...options, hosts: ["10.0.0.6"] });
    assert.equal(second.caPem, first.caPem);
    assert.deepEqual(second.admin, first.admin);
    assert.notEqual(second.server.certPem, first.server.certPem);
    assert.ok(new X509Certificate(second.server.certPem).checkIP("10.0.0.6"));
    assert.equal(new X509Certificate(second.server.certPem).checkIP("10.0.0.5"), undefined);
  });

  it("are renewed a month before their end, and after the authority's", async () => {
    const options = fresh();
    const first = await ensureCertificates(options);
    assert.deepEqual(await ensureCertificates({ ...options, clock: later(300) }), first);
    const year = await ensureCertificates({ ...options, clock: later(340) });
    assert.equal(year.caPem, first.caPem);
    assert.notEqual(year.server.certPem, first.server.certPem);
    const decade = await ensureCertificates({ ...options, clock: later(3640) });
    assert.notEqual(decade.caPem, first.caPem);
    const server = new X509Certificate(decade.server.certPem);
    assert.ok(server.verify(new X509Certificate(decade.caPem).publicKey));
  });

  it("are made again when a file is lost or belongs to another key", async () => {
    const options = fresh();
    const first = await ensureCertificates(options);
    await rm(join(options.directory, "admin.crt"));
    await writeFile(join(options.directory, "server.key"), await readFile(join(options.directory, "ca.key")));
    const second = await ensureCertificates(options);
    assert.notEqual(second.admin.certPem, first.admin.certPem);
    assert.notEqual(second.server.certPem, first.server.certPem);
    assert.equal(second.caPem, first.caPem);
  });
});
