import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  cidrContains,
  cidrsOverlap,
  formatAddress,
  freeAddresses,
  isAssignable,
  macAddressFor,
  NetworkError,
  parseAddress,
  parseCidr,
  parseVpcCidr,
} from "./index.ts";

const isInvalidSpec = (error: unknown): boolean => error instanceof NetworkError && error.code === "InvalidSpec";
const anyCidr = fc
  .tuple(fc.nat({ max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 }))
  .map(([address, prefixLength]) => {
    const addressCount = 2 ** (32 - prefixLength);
    return `${formatAddress(address - (address % addressCount))}/${prefixLength}`;
  });

test("an address survives being written and read", () => {
  fc.assert(fc.property(fc.nat({ max: 0xffff_ffff }), (address) => parseAddress(formatAddress(address)) === address));
});

test("what is not exactly an IPv4 address or network is refused", () => {
  for (const text of ["", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "::1", "0x0a000001", "10.0.0.0/8"]) {
    assert.throws(() => parseAddress(text), isInvalidSpec, text);
  }
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.1/8", "fd00::/8", "/8"]) {
    assert.throws(() => parseCidr(text), isInvalidSpec, text);
  }
  assert.throws(() => parseCidr("10.64.3.1/16"), /the network is 10\.64\.0\.0\/16/);
});

test("a VPC's network is of a sensible size and outside the ranges with a meaning of their own", () => {
  assert.equal(parseVpcCidr("10.64.0.0/16").addressCount, 65_536);
  for (const text of ["0.0.0.0/0", "127.0.0.0/16", "169.254.0.0/24", "224.0.0.0/8", "10.0.0.0/31", "64.0.0.0/2"]) {
    assert.throws(() => parseVpcCidr(text), isInvalidSpec, text);
  }
});

test("two networks overlap exactly if one has the other's first address", () => {
  assert.equal(cidrsOverlap("10.0.0.0/8", "10.64.0.0/16"), true);
  assert.equal(cidrsOverlap("10.64.0.0/16", "10.65.0.0/16"), false);
  fc.assert(
    fc.property(anyCidr, anyCidr, (a, b) => {
      const [left, right] = [parseCidr(a), parseCidr(b)];
      const shared =
        Math.min(left.network + left.addressCount, right.network + right.addressCount) -
        Math.max(left.network, right.network);
      return cidrsOverlap(a, b) === shared > 0 && cidrsOverlap(b, a) === shared > 0;
    }),
  );
});

test("free addresses are every assignable address that is not taken, each once, lowest first", () => {
  fc.assert(
    fc.property(fc.integer({ min: 24, max: 30 }), fc.uniqueArray(fc.nat({ max: 255 })), (prefixLength, numbers) => {
      const cidr = `192.168.5.0/${prefixLength}`;
      const network = parseCidr(cidr);
      const taken = new Set(numbers.map((number) => formatAddress(network.network + number)));
      const free = [...freeAddresses(cidr, taken)];
      const expected = Array.from({ length: network.addressCount }, (_, offset) =>
        formatAddress(network.network + offset),
      )
        .filter((address) => isAssignable(cidr, address))
        .filter((address) => !taken.has(address));
      assert.deepEqual(free, expected);
      assert.equal(isAssignable(cidr, formatAddress(network.network)), false);
      assert.equal(isAssignable(cidr, formatAddress(network.network + network.addressCount - 1)), false);
      assert.ok(free.every((address) => cidrContains(network, parseAddress(address))));
    }),
  );
});

test("the first free address of a large network costs no walk through it", () => {
  assert.equal(freeAddresses("10.0.0.0/8", new Set(["10.0.0.1"])).next().value, "10.0.0.2");
});

test("a MAC address is unicast, locally administered, and decided by its seed", () => {
  assert.equal(macAddressFor("a"), macAddressFor("a"));
  assert.notEqual(macAddressFor("a"), macAddressFor("b"));
  fc.assert(
    fc.property(fc.string(), (seed) => {
      const mac = macAddressFor(seed);
      assert.match(mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 0b11, 0b10);
    }),
  );
});
