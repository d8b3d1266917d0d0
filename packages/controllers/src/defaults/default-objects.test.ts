import assert from "node:assert/strict";
import { test } from "node:test";
import { isopodApiVersion, resources } from "@isopod/api";
import { silentLogger, systemClock } from "@isopod/base";
import { startTestApi } from "@isopod/client/testing";
import { DefaultObjects } from "./default-objects.ts";

test("a new installation gets a VPC and a price list, and what an operator made of them stays", async () => {
  await using api = await startTestApi();
  await api.client.create(resources.vpcs, {
    apiVersion: isopodApiVersion,
    kind: "VPC",
    metadata: { name: "default" },
    spec: { cidr: "10.1.0.0/24" },
  });
  const objects = new DefaultObjects({ client: api.client, clock: systemClock, logger: silentLogger });
  for (let round = 0; round < 2; round++) await objects.run(new AbortController().signal);
  assert.equal((await api.client.get(resources.vpcs, undefined, "default")).spec.cidr, "10.1.0.0/24");
  const { spec } = await api.client.get(resources.pricelists, undefined, "default");
  assert.equal(spec.currency, "USD");
});

test("an API server that is away is waited for until the installation stops", async () => {
  await using api = await startTestApi();
  await api.stop();
  const stop = new AbortController();
  const objects = new DefaultObjects({ client: api.client, clock: systemClock, logger: silentLogger });
  const running = objects.run(stop.signal);
  stop.abort(new Error("the test ends"));
  await running;
});
