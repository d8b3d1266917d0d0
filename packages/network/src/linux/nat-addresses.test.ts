import assert from "node:assert/strict";
import { test } from "node:test";
import { cidrContains, formatAddress, parseAddress, parseCidr } from "../cidr.ts";
import { parseChains } from "./host-ruleset.ts";
import { chooseNatAddress, parsePoolRoutes } from "./nat-addresses.ts";

test("a NAT address avoids every route the host already has", () => {
  const pool = parseCidr("100.64.0.0/24");
  const routes = [
    ...parsePoolRoutes([
      { dst: "100.64.0.0/25", dev: "tailscale0" },
      { dst: "100.64.0.200" },
      { dst: "default", dev: "eth0" },
    ]),
  ];
  const chosen = new Set<string>();
  for (;;) {
    const address = chooseNatAddress(pool, routes, "seed");
    if (address === undefined) break;
    assert.ok(!chosen.has(address));
    chosen.add(address);
    routes.push({ network: parseAddress(address), addressCount: 1, device: "isn0" });
  }
  // The upper half, without its last address and the one taken.
  assert.equal(chosen.size, 128 - 1 - 1);
  for (const address of chosen) {
    assert.ok(cidrContains(parseCidr("100.64.0.128/25"), parseAddress(address)));
    assert.notEqual(address, "100.64.0.200");
  }
});

test("different seeds begin in different places of the pool", () => {
  const pool = parseCidr("100.64.0.0/10");
  const chosen = new Set(Array.from({ length: 50 }, (_, index) => chooseNatAddress(pool, [], `seed ${index}`)));
  assert.ok(chosen.size > 45);
  assert.ok([...chosen].every((address) => address !== undefined && address !== formatAddress(pool.network)));
});

test("the host's packet filter tells ours, other installations', and who drops forwarded packets", () => {
  const chains = [
    { metainfo: { version: "1.0.6" } },
    { chain: { family: "ip", table: "filter", name: "FORWARD", hook: "forward", policy: "drop" } },
    { chain: { family: "ip", table: "filter", name: "INPUT", hook: "input", policy: "drop" } },
    { chain: { family: "inet", table: "isopod_a", name: "forward", hook: "forward", policy: "accept" } },
    { chain: { family: "inet", table: "isopod_a", name: "opened_forwarding" } },
    { chain: { family: "inet", table: "isopod_b", name: "forward", hook: "forward", policy: "accept" } },
  ];
  assert.deepEqual(parseChains(chains, "a"), {
    hasTable: true,
    hasOpenedForwarding: true,
    otherInstallations: ["isopod_b"],
    droppingChains: ["ip filter FORWARD"],
  });
  assert.equal(parseChains(chains, "c").hasTable, false);
});
