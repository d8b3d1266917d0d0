import assert from "node:assert/strict";
import { test } from "node:test";
import { isConflict, isopodApiVersion, type NetworkInterface, resources, type VPC } from "@isopod/api";
import { keepUsedVpcs } from "./keep-used-vpcs.ts";

const vpc: VPC = {
  apiVersion: isopodApiVersion,
  kind: "VPC",
  metadata: { name: "blue" },
  spec: { cidr: "10.1.0.0/16" },
};

function interfaceIn(name: string, pod: string): NetworkInterface {
  return {
    apiVersion: isopodApiVersion,
    kind: "NetworkInterface",
    metadata: { name: pod, namespace: "shop" },
    spec: { vpc: name, address: "10.1.0.2", macAddress: "02:00:00:00:00:01", podName: pod, podUID: "uid" },
  };
}

const request = (operation: "DELETE" | "UPDATE") => ({
  operation,
  definition: resources.vpcs,
  subresource: undefined,
  object: vpc,
  oldObject: undefined,
  user: { name: "admin", groups: [] },
  isDryRun: false,
  warn: () => {},
});

test("a VPC with instances in it is not deleted, and the error names one of them", async () => {
  const hook = keepUsedVpcs(async () => [interfaceIn("blue", "web"), interfaceIn("blue", "api")]);
  await assert.rejects(
    async () => await hook(request("DELETE")),
    (error) => isConflict(error) && error instanceof Error && /in use by shop\/web and 1 more/.test(error.message),
  );
  assert.equal(await hook(request("UPDATE")), vpc);
});

test("a VPC that nobody is in may go", async () => {
  const hook = keepUsedVpcs(async () => [interfaceIn("green", "web")]);
  assert.equal(await hook(request("DELETE")), vpc);
});
