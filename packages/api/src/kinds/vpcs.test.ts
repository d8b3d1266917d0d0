import assert from "node:assert/strict";
import { test } from "node:test";
import type { VPC } from "../types/isopod.ts";
import { validateVpc } from "../validation/isopod.ts";

function problems(cidr: string): readonly string[] {
  const vpc: VPC = { apiVersion: "isopod.dev/v1alpha1", kind: "VPC", metadata: { name: "blue" }, spec: { cidr } };
  return validateVpc(vpc, undefined).map(({ field, message }) => `${field}: ${message}`);
}

test("a VPC has a private network's range", () => {
  for (const cidr of ["10.64.0.0/16", "192.168.1.0/24", "172.16.0.0/12"]) assert.deepEqual(problems(cidr), []);
});

test("ranges that mean something else to every host are refused when they are asked for, not when a pod waits", () => {
  for (const cidr of ["127.0.0.0/8", "127.1.0.0/16", "169.254.0.0/24", "224.0.0.0/8", "240.0.0.0/8", "0.0.0.0/8"]) {
    assert.match(problems(cidr)[0] ?? "", /^spec\.cidr: .*must not overlap/, cidr);
  }
});

test("what is no network at all is refused by field", () => {
  for (const cidr of ["10.64.0.1/16", "10.64.0.0", "10.64.0.0/33", "fd00::/64", "300.0.0.0/16"]) {
    assert.match(problems(cidr)[0] ?? "", /^spec\.cidr: Invalid value/, cidr);
  }
});
