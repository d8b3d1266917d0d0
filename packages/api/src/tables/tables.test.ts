import assert from "node:assert/strict";
import { test } from "node:test";
import { resourceDefinitions, resources } from "../kinds/index.ts";
import { containerWith, podWith } from "../testing/pods.ts";
import type { ContainerState, ContainerStatus } from "../types/container.ts";
import type { Event } from "../types/event.ts";
import type { PriceList, Snapshot } from "../types/isopod.ts";
import type { KubeObject } from "../types/meta.ts";
import type { Node } from "../types/node.ts";
import type { PodSpec, PodStatus } from "../types/pod.ts";
import { humanDuration } from "./duration.ts";
import { humanBytes } from "./human-bytes.ts";
import { printTable } from "./index.ts";
import { summarizePod } from "./pod.ts";

const nowMs = Date.parse("2026-01-01T01:00:00Z");

function cellsOf(definition: (typeof resourceDefinitions)[number], object: KubeObject) {
  return printTable(definition, [object], { nowMs }).rows[0]?.cells;
}

function statusOf(name: string, state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name, state, ready: false, restartCount: 0, image: "", imageID: "", ...more };
}

const running: ContainerState = { running: { startedAt: "2026-01-01T00:00:00Z" } };
const up = (name: string) => statusOf(name, running, { ready: true, started: true });
const ended = (name: string, exitCode: number, reason?: string, signal?: number) => {
  return statusOf(name, {
    terminated: { exitCode, ...(reason === undefined ? {} : { reason }), ...(signal === undefined ? {} : { signal }) },
  });
};
const waiting = (name: string, reason: string) => statusOf(name, { waiting: { reason } });

test("durations read as kubectl's do", () => {
  const second = 1000;
  const minute = 60 * second;
  const hour = 60 * minute;
  const day = 24 * hour;
  const cases: readonly (readonly [number, string])[] = [
    [-5 * second, "<invalid>"],
    [-1.5 * second, "0s"],
    [0, "0s"],
    [119 * second, "119s"],
    [2 * minute, "2m"],
    [5 * minute + 12 * second, "5m12s"],
    [10 * minute + 1 * second, "10m"],
    [179 * minute, "179m"],
    [3 * hour, "3h"],
    [7 * hour + 20 * minute, "7h20m"],
    [47 * hour, "47h"],
    [2 * day, "2d"],
    [2 * day + 4 * hour, "2d4h"],
    [8 * day + 5 * hour, "8d"],
    [729 * day, "729d"],
    [2 * 365 * day, "2y"],
    [3 * 365 * day + 40 * day, "3y40d"],
    [9 * 365 * day + 40 * day, "9y"],
  ];
  for (const [durationMs, expected] of cases) assert.equal(humanDuration(durationMs), expected);
});

const init = [containerWith({ name: "i1" }), containerWith({ name: "i2" })];
const two = [containerWith({ name: "a" }), containerWith({ name: "b" })];
const readyCondition = { type: "Ready", status: "True" } as const;
const initialized = { type: "Initialized", status: "True" } as const;

const podCases: readonly (readonly [string, string, Partial<PodSpec>, PodStatus | undefined])[] = [
  ["Pending", "0/1", {}, { phase: "Pending" }],
  ["Evicted", "0/1", {}, { phase: "Failed", reason: "Evicted" }],
  ["ContainerCreating", "0/1", {}, { phase: "Pending", containerStatuses: [waiting("main", "ContainerCreating")] }],
  ["Running", "1/1", {}, { phase: "Running", containerStatuses: [up("main")] }],
  ["Running", "0/1", {}, { phase: "Running", containerStatuses: [statusOf("main", running)] }],
  ["CrashLoopBackOff", "0/1", {}, { phase: "Running", containerStatuses: [waiting("main", "CrashLoopBackOff")] }],
  [
    "ImagePullBackOff",
    "1/2",
    { containers: two },
    { phase: "Pending", containerStatuses: [up("a"), waiting("b", "ImagePullBackOff")] },
  ],
  ["Completed", "0/1", {}, { phase: "Succeeded", containerStatuses: [ended("main", 0, "Completed")] }],
  ["OOMKilled", "0/1", {}, { phase: "Failed", containerStatuses: [ended("main", 137, "OOMKilled")] }],
  ["ExitCode:3", "0/1", {}, { phase: "Failed", containerStatuses: [ended("main", 3)] }],
  ["Signal:9", "0/1", {}, { phase: "Failed", containerStatuses: [ended("main", 137, undefined, 9)] }],
  [
    "Error",
    "0/2",
    { containers: two },
    { phase: "Failed", containerStatuses: [ended("a", 0, "Completed"), ended("b", 1, "Error")] },
  ],
  [
    "NotReady",
    "1/2",
    { containers: two },
    { phase: "Running", containerStatuses: [ended("a", 0, "Completed"), up("b")] },
  ],
  [
    "Running",
    "1/2",
    { containers: two },
    { phase: "Running", conditions: [readyCondition], containerStatuses: [ended("a", 0, "Completed"), up("b")] },
  ],
  ["Init:0/2", "0/1", { initContainers: init }, { phase: "Pending", initContainerStatuses: [statusOf("i1", running)] }],
  [
    "Init:1/2",
    "0/1",
    { initContainers: init },
    { phase: "Pending", initContainerStatuses: [ended("i1", 0), waiting("i2", "PodInitializing")] },
  ],
  [
    "Init:CrashLoopBackOff",
    "0/1",
    { initContainers: init },
    { phase: "Pending", initContainerStatuses: [waiting("i1", "CrashLoopBackOff")] },
  ],
  [
    "Init:Error",
    "0/1",
    { initContainers: init },
    { phase: "Failed", initContainerStatuses: [ended("i1", 1, "Error")] },
  ],
  ["Init:ExitCode:2", "0/1", { initContainers: init }, { phase: "Failed", initContainerStatuses: [ended("i1", 2)] }],
  [
    "Init:Signal:9",
    "0/1",
    { initContainers: init },
    { phase: "Failed", initContainerStatuses: [ended("i1", 137, undefined, 9)] },
  ],
  [
    "PodInitializing",
    "0/1",
    { initContainers: init },
    {
      phase: "Pending",
      initContainerStatuses: [ended("i1", 0), ended("i2", 0)],
      containerStatuses: [waiting("main", "PodInitializing")],
    },
  ],
  [
    "Running",
    "2/2",
    { initContainers: [containerWith({ name: "i1", restartPolicy: "Always" })] },
    { phase: "Running", conditions: [initialized], initContainerStatuses: [up("i1")], containerStatuses: [up("main")] },
  ],
  [
    "SchedulingGated",
    "0/1",
    {},
    { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] },
  ],
  ["", "0/1", {}, undefined],
];

test("a pod's status is kubectl's word for it", () => {
  for (const [status, ready, spec, podStatus] of podCases) {
    const summary = summarizePod(podWith(spec, podStatus));
    assert.deepEqual([summary.status, `${summary.ready}/${summary.total}`], [status, ready], JSON.stringify(podStatus));
  }
});

test("a pod that stands still is paused, until it ends or leaves", () => {
  const pausedCondition = { type: "isopod.dev/Paused", status: "True" } as const;
  const held = { ...up("main"), ready: false };
  const pod = podWith({}, { phase: "Running", conditions: [pausedCondition], containerStatuses: [held] });
  assert.deepEqual([summarizePod(pod).status, summarizePod(pod).ready], ["Paused", 0]);
  const resumed = { ...pausedCondition, status: "False" } as const;
  assert.equal(summarizePod({ ...pod, status: { ...pod.status, conditions: [resumed] } }).status, "Running");
  const leaving = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:30:00Z" } };
  assert.equal(summarizePod(leaving).status, "Terminating");
  const over = {
    phase: "Failed",
    conditions: [pausedCondition],
    containerStatuses: [ended("main", 137, "Error")],
  } as const;
  assert.equal(summarizePod(podWith({}, over)).status, "Error");
});

test("a snapshot's row tells instance, phase, place and size, and waits with the word none", () => {
  const snapshot: Snapshot = {
    apiVersion: "isopod.dev/v1alpha1",
    kind: "Snapshot",
    metadata: { name: "web-1", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { podName: "web" },
  };
  const { columns } = resources.snapshots;
  assert.deepEqual(
    columns.filter(({ priority }) => priority === 0).map(({ name }) => name.toUpperCase()),
    ["NAME", "POD", "PHASE", "NODE", "SIZE", "AGE"],
  );
  const none = "<none>";
  assert.deepEqual(cellsOf(resources.snapshots, snapshot), ["web-1", "web", "Pending", none, none, "60m", none, none]);
  const status = { phase: "Ready", nodeName: "n1", sizeBytes: 17 * 1024 * 1024, pauseMillis: 12.4 } as const;
  assert.deepEqual(cellsOf(resources.snapshots, { ...snapshot, status } as Snapshot), [
    "web-1",
    "web",
    "Ready",
    "n1",
    "17 MiB",
    "60m",
    "13ms",
    none,
  ]);
});

test("a price list's row shows what a paused second costs, given or not", () => {
  const list = (spec: Partial<PriceList["spec"]>): PriceList => ({
    apiVersion: "isopod.dev/v1alpha1",
    kind: "PriceList",
    metadata: { name: "now" },
    spec: { currency: "EUR", effectiveFrom: "2026-01-01T00:00:00Z", vcpuSecondMicros: 12, gibSecondMicros: 2, ...spec },
  });
  assert.deepEqual(cellsOf(resources.pricelists, list({}))?.slice(-2), [0, 2]);
  const given = { pausedVcpuSecondMicros: 3, pausedGibSecondMicros: 0 };
  assert.deepEqual(cellsOf(resources.pricelists, list(given))?.slice(-2), [3, 0]);
});

test("bytes read in the largest unit that leaves a digit before the point", () => {
  const cases = [
    [10, "10 B"],
    [1536, "1.5 KiB"],
    [17 * 1024 ** 2, "17 MiB"],
    [2048 * 1024 ** 4, "2048 TiB"],
  ] as const;
  for (const [bytes, text] of cases) assert.equal(humanBytes(bytes), text);
});

test("a pod that is being deleted is terminating until it has ended", () => {
  const dying = (status: PodStatus) => {
    const pod = podWith({}, status);
    return summarizePod({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:30:00Z" } }).status;
  };
  assert.equal(dying({ phase: "Running", containerStatuses: [up("main")] }), "Terminating");
  assert.equal(dying({ phase: "Running", reason: "NodeLost" }), "Unknown");
  assert.equal(dying({ phase: "Succeeded", containerStatuses: [ended("main", 0, "Completed")] }), "Completed");
});

test("a pod's row tells restarts with their age, and the wide columns", () => {
  const crashed = {
    ...up("main"),
    restartCount: 3,
    lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:55:00Z" } },
  };
  const pod = podWith(
    { nodeName: "n1", readinessGates: [{ conditionType: "x" }, { conditionType: "y" }] },
    {
      phase: "Running",
      podIPs: [{ ip: "10.64.0.7" }],
      conditions: [{ type: "y", status: "True" }],
      containerStatuses: [crashed],
    },
  );
  assert.deepEqual(cellsOf(resources.pods, pod), [
    "web",
    "1/1",
    "Running",
    "3 (5m ago)",
    "60m",
    "10.64.0.7",
    "n1",
    "<none>",
    "1/2",
  ]);
  const fresh = podWith({}, { phase: "Pending" });
  assert.deepEqual(cellsOf(resources.pods, fresh), [
    "web",
    "0/1",
    "Pending",
    "0",
    "60m",
    "<none>",
    "<none>",
    "<none>",
    "<none>",
  ]);
});

test("restarts of init containers count until the pod is initialized, those of sidecars always", () => {
  const restarted = (name: string, restartCount: number) => ({ ...ended(name, 0), restartCount });
  const sidecar = containerWith({ name: "side", restartPolicy: "Always" });
  const spec = { initContainers: [containerWith({ name: "i1" }), sidecar] };
  const initStatuses = [restarted("i1", 2), { ...up("side"), restartCount: 1 }];
  const during = summarizePod(
    podWith(spec, { phase: "Pending", initContainerStatuses: [{ ...waiting("i1", "Error"), restartCount: 2 }] }),
  );
  assert.equal(during.restarts, 2);
  const after = summarizePod(
    podWith(spec, { phase: "Running", initContainerStatuses: initStatuses, containerStatuses: [up("main")] }),
  );
  assert.equal(after.restarts, 1);
});

test("a node's row tells readiness, cordon, roles and addresses", () => {
  const node: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: "n1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      labels: { "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": "" },
    },
    spec: { unschedulable: true },
    status: {
      conditions: [{ type: "Ready", status: "True" }],
      addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
    },
  };
  assert.deepEqual(cellsOf(resources.nodes, node)?.slice(0, 9), [
    "n1",
    "Ready,SchedulingDisabled",
    "edge,worker",
    "60m",
    "",
    "192.0.2.1",
    "<none>",
    "<unknown>",
    "<unknown>",
  ]);
  const silent = { apiVersion: "v1", kind: "Node", metadata: { name: "n2" } };
  assert.deepEqual(cellsOf(resources.nodes, silent)?.slice(0, 4), ["n2", "Unknown", "<none>", "<unknown>"]);
});

test("an event's row tells when, what and how often, in either style of event", () => {
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "web.1" },
    involvedObject: { kind: "Pod", name: "web" },
    type: "Normal",
    reason: "Started",
    message: "Started container main\n",
    source: { component: "node", host: "n1" },
    firstTimestamp: "2026-01-01T00:30:00Z",
    lastTimestamp: "2026-01-01T00:59:00Z",
    count: 4,
  };
  const expected = ["60s", "Normal", "Started", "pod/web", "", "node, n1", "Started container main", "30m", 4, "web.1"];
  assert.deepEqual(cellsOf(resources.events, event), expected);
  const { firstTimestamp: _first, lastTimestamp: _last, count: _count, source: _source, ...rest } = event;
  const modern: Event = { ...rest, eventTime: "2026-01-01T00:58:00.000000Z", reportingComponent: "scheduler" };
  assert.deepEqual(cellsOf(resources.events, modern), [
    "2m",
    "Normal",
    "Started",
    "pod/web",
    "",
    "scheduler",
    "Started container main",
    "2m",
    1,
    "web.1",
  ]);
});

test("every kind prints as many cells as it has columns, the name among them", () => {
  const fill = (kind: string): object => {
    const owner = { namespace: "shop", name: "web", uid: "u" };
    const spec = {
      containers: [],
      vpc: "v",
      address: "10.0.0.1",
      interface: owner,
      startMicros: nowMs * 1000 - 5_000_000,
    };
    return kind === "Event"
      ? { involvedObject: {} }
      : { spec: { ...spec, cpuMilli: 250, memoryMiB: 512, state: "Running" } };
  };
  for (const definition of resourceDefinitions) {
    const object = { apiVersion: "x", kind: definition.kind, metadata: { name: "thing" }, ...fill(definition.kind) };
    const cells = cellsOf(definition, object);
    assert.equal(cells?.length, definition.columns.length, definition.kind);
    const nameIndex = definition.columns.findIndex((column) => column.format === "name");
    assert.equal(cells?.[nameIndex], "thing", definition.kind);
  }
});

test("a table's rows carry as much of the object as is asked for", () => {
  const pod = podWith();
  const print = (includeObject?: "None" | "Metadata" | "Object") => {
    return printTable(resources.pods, [pod], includeObject === undefined ? { nowMs } : { nowMs, includeObject });
  };
  assert.deepEqual(print().rows[0]?.object, {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: pod.metadata,
  });
  assert.equal(print("Object").rows[0]?.object, pod);
  assert.equal(print("None").rows[0]?.object, undefined);
  const later = printTable(resources.pods, [pod], { nowMs, includeColumns: false, metadata: { resourceVersion: "7" } });
  assert.deepEqual(later.columnDefinitions, []);
  assert.deepEqual(later.metadata, { resourceVersion: "7" });
});
