import assert from "node:assert/strict";
import { test } from "node:test";
import { type Node, resources } from "@isopod/api";
import { ManualClock } from "../testing/manual-clock.ts";
import { running } from "../testing/running.ts";
import { startTestApi, type TestApi, waitUntil } from "@isopod/client/testing";
import { NodeLifecycleController } from "./node-lifecycle-controller.ts";

async function addNode(api: TestApi, name: string): Promise<void> {
  const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name }, spec: {} };
  await api.client.create(resources.nodes, node);
  const conditions = ["MemoryPressure", "Ready"].map((type) => ({ type, status: type === "Ready" ? "True" : "False" }));
  await api.client.patch(resources.nodes, undefined, name, { status: { conditions } }, { subresource: "status" });
  await api.client.create(resources.leases, {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace: "kube-node-lease" },
    spec: { holderIdentity: name, renewTime: "2026-01-01T00:00:00.000000Z" },
  });
}

let renewals = 0;
async function renew(api: TestApi, name: string): Promise<void> {
  renewals += 1;
  const renewTime = new Date(Date.UTC(2026, 0, 1) + renewals * 1000).toISOString().replace("Z", "000Z");
  await api.client.patch(resources.leases, "kube-node-lease", name, { spec: { renewTime } });
}

async function states(api: TestApi, name: string): Promise<Readonly<Record<string, string>>> {
  const { status } = await api.client.get(resources.nodes, undefined, name);
  return Object.fromEntries((status?.conditions ?? []).map((one) => [one.type, one.status]));
}

test("a node whose lease falls silent becomes unknown after the grace, one that renews it stays ready", async () => {
  await using api = await startTestApi();
  for (const name of ["silent", "lively"]) await addNode(api, name);
  const clock = new ManualClock();
  await using _controller = running(api, (options) => new NodeLifecycleController(options), { clock });
  const pass = async (): Promise<void> => {
    await renew(api, "lively");
    // Ends its round first: then it sleeps again.
    await waitUntil("the controller sleeps", () => clock.sleeping === 1);
    clock.advance(5000);
    await waitUntil("the controller sleeps", () => clock.sleeping === 1);
  };
  for (let passedMs = 0; passedMs < 40_000; passedMs += 5000) {
    await pass();
    assert.deepEqual(await states(api, "silent"), { MemoryPressure: "False", Ready: "True" });
  }
  await waitUntil("the silent node is unknown", async () => {
    await pass();
    return (await states(api, "silent"))["Ready"] === "Unknown";
  });
  assert.deepEqual(await states(api, "silent"), { MemoryPressure: "Unknown", Ready: "Unknown" });
  assert.deepEqual(await states(api, "lively"), { MemoryPressure: "False", Ready: "True" });
  const event = await waitUntil("the event is there", async () => {
    const { items } = await api.client.list(resources.events);
    return items.find((one) => one.reason === "NodeNotReady");
  });
  assert.equal(event.involvedObject.name, "silent");

  // The agent comes back, tells its own state, and is believed again.
  await renew(api, "silent");
  const conditions = [{ type: "Ready", status: "True" }];
  await api.client.patch(resources.nodes, undefined, "silent", { status: { conditions } }, { subresource: "status" });
  for (let round = 0; round < 4; round++) {
    await renew(api, "silent");
    await pass();
  }
  assert.deepEqual(await states(api, "silent"), { Ready: "True" });
});
