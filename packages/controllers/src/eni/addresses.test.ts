import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { candidateAddresses, macAddressFor } from "./addresses.ts";

test("every address of a network but the first two and the last comes once, wherever the search begins", () => {
  fc.assert(
    fc.property(fc.integer({ min: 22, max: 28 }), fc.nat({ max: 100_000 }), (prefix, start) => {
      const found = [...candidateAddresses(`10.9.0.0/${prefix}`, start)];
      const count = 2 ** (32 - prefix) - 3;
      assert.equal(found.length, count);
      assert.equal(new Set(found).size, count);
      const numbers = found.map(
        (text) => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) - 0x0a09_0000,
      );
      assert.ok(numbers.every((number) => number >= 2 && number <= count + 1));
    }),
  );
});

test("addresses cross byte borders as they should, up to the end of the address space", () => {
  assert.deepEqual(
    [...candidateAddresses("255.255.255.248/29", 3)],
    ["255.255.255.253", "255.255.255.254", "255.255.255.250", "255.255.255.251", "255.255.255.252"],
  );
  assert.deepEqual([...candidateAddresses("10.0.0.0/31", 0)], []);
});

test("a MAC address follows from the identity and is local and unicast", () => {
  const mac = macAddressFor("some-uid");
  assert.equal(mac, macAddressFor("some-uid"));
  assert.notEqual(mac, macAddressFor("another"));
  assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
});
