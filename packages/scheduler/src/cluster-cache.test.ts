import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@isopod/api";
import fc from "fast-check";
import { ClusterCache, demandOf } from "./cluster-cache.ts";
import { podOf, readyNode } from "./testing/objects.ts";

function bound(name: string, nodeName: string, phase = "Running"): Pod {
  const pod = podOf(name, "1", "1Gi", { nodeName });
  return { ...pod, status: { phase: phase === "Succeeded" ? "Succeeded" : "Running" } };
}

test("whatever order changes come in, what is used is the sum of the pods placed", () => {
  const step = fc.record({
    pod: fc.constantFrom("a", "b", "c"),
    node: fc.constantFrom("n1", "n2"),
    what: fc.constantFrom("assume", "bind", "finish", "remove", "forget", "unbound"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const cache = new ClusterCache();
      for (const name of ["n1", "n2"]) cache.setNode(name, readyNode(name));
      const placed = new Map<string, string>();
      for (const { pod, node, what } of steps) {
        const key = `default/${pod}`;
        if (what === "assume") cache.assume(podOf(pod, "1", "1Gi"), node);
        if (what === "bind") cache.setPod(key, bound(pod, node));
        if (what === "finish") cache.setPod(key, bound(pod, node, "Succeeded"));
        if (what === "remove") cache.setPod(key, undefined);
        if (what === "forget") cache.forget(key);
        if (what === "unbound") cache.setPod(key, podOf(pod, "1", "1Gi"));
        if (what === "assume" || what === "bind") placed.set(pod, node);
        else if (what !== "unbound") placed.delete(pod);
      }
      const { cpuMilli, memoryBytes } = demandOf(podOf("x", "1", "1Gi"));
      for (const { node, used } of cache.rooms()) {
        const pods = [...placed.values()].filter((name) => name === node.metadata.name).length;
        assert.deepEqual(used, { cpuMilli: pods * cpuMilli, memoryBytes: pods * memoryBytes, pods });
      }
      for (const pod of ["a", "b", "c"]) assert.equal(cache.isPlaced(`default/${pod}`), placed.has(pod));
    }),
  );
});

test("a node that is gone has no room, and has its pods again when it comes back", () => {
  const cache = new ClusterCache();
  cache.setNode("n1", readyNode("n1"));
  cache.setPod("default/a", bound("a", "n1"));
  cache.setNode("n1", undefined);
  assert.deepEqual([...cache.rooms()], []);
  cache.setNode("n1", readyNode("n1", { cpu: "500m", pods: "3" }));
  const [room] = cache.rooms();
  assert.equal(room?.allocatable.cpuMilli, 500);
  assert.equal(room?.allocatable.pods, 3);
  assert.equal(room?.used.pods, 1);
});

test("the machine around an instance takes room too", () => {
  const demand = demandOf(podOf("a", "1", "1Gi"));
  assert.ok(demand.memoryBytes > 1024 ** 3);
  assert.equal(demandOf(podOf("a", "64", "1Ti")).cpuMilli, Number.POSITIVE_INFINITY);
});
