import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, PodSpec, Taint, Toleration } from "@isopod/api";
import { chooseNode } from "./choose-node.ts";
import { leastLoadedScore } from "./score.ts";
import { podOf, readyNode, roomOn } from "./testing/objects.ts";

const pod = podOf("p", "1", "1Gi");

function refusal(node: Node, spec: Partial<PodSpec> = {}, used: Parameters<typeof roomOn>[1] = {}): string | undefined {
  const choice = chooseNode(podOf("p", "1", "1Gi", spec), [roomOn(node, used)]);
  return choice.nodeName === undefined ? choice.message : undefined;
}

function tainted(...taints: readonly Taint[]): Node {
  return readyNode("n", {}, { spec: { taints } });
}

const affinityTo = (key: string, operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt", ...values: string[]) =>
  ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }] }],
        },
      },
    },
  }) satisfies Partial<PodSpec>;

const disk = readyNode("n", {}, { metadata: { name: "n", labels: { disk: "ssd", gen: "3" } } });
const dedicated: Taint = { key: "dedicated", value: "gpu", effect: "NoSchedule" };
const tolerating = (toleration: Toleration): Partial<PodSpec> => ({ tolerations: [toleration] });

test("no node at all is told as that", () => {
  const choice = chooseNode(pod, []);
  assert.equal(choice.nodeName, undefined);
  assert.match(choice.nodeName === undefined ? choice.message : "", /^no nodes available to schedule pods/);
});

test("each reason against a node is told in kube-scheduler's words", () => {
  const notReady = readyNode("n", {}, { status: { conditions: [{ type: "Ready", status: "Unknown" }] } });
  const rows: readonly [string, string | undefined][] = [
    [refusal(notReady) ?? "", "node(s) were not ready"],
    [refusal(readyNode("n", {}, { spec: { unschedulable: true } })) ?? "", "node(s) were unschedulable"],
    [refusal(tainted(dedicated)) ?? "", "node(s) had untolerated taint {dedicated: gpu}"],
    [refusal(disk, { nodeSelector: { disk: "hdd" } }) ?? "", "node(s) didn't match Pod's node affinity/selector"],
    [refusal(disk, {}, { memoryBytes: 3.5 * 1024 ** 3 }) ?? "", "Insufficient memory"],
    [refusal(disk, {}, { cpuMilli: 3500 }) ?? "", "Insufficient cpu"],
    [refusal(disk, {}, { pods: 10 }) ?? "", "Too many pods"],
  ];
  for (const [message, reason] of rows) assert.equal(message, `0/1 nodes are available: 1 ${reason}.`);
});

test("a node that lacks several resources tells each of them, and reasons of many nodes are counted", () => {
  const full = { cpuMilli: 4000, memoryBytes: 4 * 1024 ** 3 };
  const choice = chooseNode(pod, [
    roomOn(readyNode("a"), full),
    roomOn(readyNode("b"), { cpuMilli: 4000 }),
    roomOn(readyNode("c", {}, { spec: { unschedulable: true } })),
  ]);
  assert.deepEqual(choice, {
    nodeName: undefined,
    message: "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu.",
  });
});

test("a toleration opens a tainted node when key, value and effect agree, and a soft taint closes none", () => {
  const rows: readonly [Toleration, boolean][] = [
    [{ key: "dedicated", operator: "Equal", value: "gpu", effect: "NoSchedule" }, true],
    [{ key: "dedicated", value: "gpu" }, true],
    [{ key: "dedicated", operator: "Exists" }, true],
    [{ operator: "Exists" }, true],
    [{ operator: "Exists", effect: "NoExecute" }, false],
    [{ key: "dedicated", value: "cpu" }, false],
    [{ key: "dedicated" }, false],
    [{ key: "other", operator: "Exists" }, false],
  ];
  for (const [toleration, isOpen] of rows) {
    assert.equal(refusal(tainted(dedicated), tolerating(toleration)) === undefined, isOpen, JSON.stringify(toleration));
  }
  assert.equal(refusal(tainted({ key: "slow", effect: "PreferNoSchedule" })), undefined);
  assert.notEqual(refusal(tainted({ key: "gone", effect: "NoExecute" })), undefined);
  assert.notEqual(
    refusal(
      tainted(dedicated, { key: "second", effect: "NoSchedule" }),
      tolerating({ key: "dedicated", operator: "Exists" }),
    ),
    undefined,
  );
  const cordoned = readyNode("n", {}, { spec: { unschedulable: true } });
  assert.equal(
    refusal(cordoned, tolerating({ key: "node.kubernetes.io/unschedulable", operator: "Exists" })),
    undefined,
  );
});

test("selectors and required affinity choose by labels; terms are alternatives", () => {
  assert.equal(refusal(disk, { nodeSelector: { disk: "ssd", gen: "3" } }), undefined);
  assert.notEqual(refusal(disk, { nodeSelector: { disk: "ssd", gen: "4" } }), undefined);
  const rows: readonly [Partial<PodSpec>, boolean][] = [
    [affinityTo("disk", "In", "ssd", "nvme"), true],
    [affinityTo("disk", "In", "hdd"), false],
    [affinityTo("disk", "NotIn", "hdd"), true],
    [affinityTo("disk", "Exists"), true],
    [affinityTo("rack", "Exists"), false],
    [affinityTo("rack", "DoesNotExist"), true],
    [affinityTo("gen", "Gt", "2"), true],
    [affinityTo("gen", "Gt", "3"), false],
  ];
  for (const [spec, isMatch] of rows) assert.equal(refusal(disk, spec) === undefined, isMatch, JSON.stringify(spec));
  const terms = ["hdd", "ssd"].map((value) => ({
    matchExpressions: [{ key: "disk", operator: "In" as const, values: [value] }],
  }));
  const either = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
  assert.equal(refusal(disk, { affinity: { nodeAffinity: either } }), undefined);
});

test("the emptiest node wins, by shares and not by amounts, and the name decides between equals", () => {
  const demand = { cpuMilli: 1000, memoryBytes: 1024 ** 3 };
  const half = leastLoadedScore(demand, roomOn(readyNode("n"), { cpuMilli: 1000, memoryBytes: 1024 ** 3 }));
  assert.equal(half, 0.5);
  assert.equal(leastLoadedScore({ cpuMilli: 9000, memoryBytes: 0 }, roomOn(readyNode("n"))), 0.5);
  const rooms = [roomOn(readyNode("b")), roomOn(readyNode("c")), roomOn(readyNode("a"), { cpuMilli: 100 })];
  assert.deepEqual(chooseNode(pod, rooms), { nodeName: "b" });
  assert.deepEqual(chooseNode(pod, rooms.toReversed()), { nodeName: "b" });
});
