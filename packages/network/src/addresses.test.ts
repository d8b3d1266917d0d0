import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cidrsOverlap, formatAddress, NetworkError, parseAddress, parseCidr, parseVpcCidr } from "./index.ts";

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
