import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "@isopod/base";
import { hostDns, hostsFile, resolvConf } from "./pod-files.ts";
import { podWith } from "./testing/pods.ts";

const defaults = { nameservers: ["192.0.2.53"], searches: ["example.org"] };

test("the host's name servers are used, the ones only the host reaches are not", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "resolv.conf");
  await writeFile(
    path,
    "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1\nsearch a.example b.example\n",
  );
  assert.deepEqual(await hostDns(path), { nameservers: ["192.0.2.53"], searches: ["a.example", "b.example"] });
  assert.deepEqual(await hostDns(join(directory.path, "absent")), { nameservers: [], searches: [] });
});

test("without a way out, or with policy None, only the pod's own DNS settings count", () => {
  const dnsConfig = {
    nameservers: ["203.0.113.1"],
    searches: ["own.example"],
    options: [{ name: "ndots", value: "2" }, { name: "rotate" }],
  };
  const own = "search own.example\nnameserver 203.0.113.1\noptions ndots:2 rotate\n";
  assert.equal(resolvConf(podWith({ dnsConfig }), defaults, false), own);
  assert.equal(resolvConf(podWith({ dnsConfig, dnsPolicy: "None" }), defaults, true), own);
  assert.equal(
    resolvConf(podWith({ dnsConfig }), defaults, true),
    "search example.org own.example\nnameserver 192.0.2.53\nnameserver 203.0.113.1\noptions ndots:2 rotate\n",
  );
  assert.equal(resolvConf(podWith(), defaults, false), "");
});

test("hosts names the pod by its address, and its aliases", () => {
  const text = hostsFile(podWith({ hostAliases: [{ ip: "10.0.0.9", hostnames: ["db", "cache"] }] }), "10.64.0.7");
  const lines = text.split("\n");
  assert.ok(lines.includes("127.0.0.1\tlocalhost"));
  assert.ok(lines.includes("10.64.0.7\tweb"));
  assert.ok(lines.includes("10.0.0.9\tdb\tcache"));
  assert.ok(text.endsWith("\n"));
});
