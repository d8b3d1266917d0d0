import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodStatus } from "@isopod/api";
import { type ContainerView, containerIdOf, type PodView, podStatus } from "./pod-status.ts";
import { containerWith, podWith } from "./testing/pods.ts";

const now = Date.parse("2026-01-02T03:04:05Z");
const micros = now * 1000;

const running = { id: "c0-0", vm: 1, startedMicros: micros };
const ended = (exitCode: number, reason = exitCode === 0 ? "Completed" : "Error") => ({
  ...running,
  exit: { exitCode, signal: 0, reason, message: "", startedMicros: micros, finishedMicros: micros + 2_000_000 },
});

function container(fields: Partial<ContainerView> = {}): ContainerView {
  return {
    container: containerWith(),
    isInit: false,
    restartCount: 0,
    imageDigest: "sha256:1",
    waiting: undefined,
    current: undefined,
    previous: undefined,
    ...fields,
  };
}

function status(fields: Partial<PodView> = {}, known?: PodStatus): PodStatus {
  const view: PodView = {
    pod: podWith(),
    containers: [container({ current: running })],
    podIP: "10.64.0.7",
    hostIP: "192.0.2.1",
    startTimeMs: now - 1000,
    isSandboxReady: true,
    failure: undefined,
    isPaused: false,
    pauseFailure: undefined,
    isOver: false,
    ...fields,
  };
  return podStatus(view, known, now);
}

const conditionOf = (of: PodStatus, type: string) => of.conditions?.find((one) => one.type === type);

test("a running pod is ready and has its addresses", () => {
  const made = status();
  assert.equal(made.phase, "Running");
  assert.equal(made.podIP, "10.64.0.7");
  assert.deepEqual(made.podIPs, [{ ip: "10.64.0.7" }]);
  assert.equal(made.hostIP, "192.0.2.1");
  assert.equal(made.startTime, "2026-01-02T03:04:04Z");
  assert.deepEqual(
    made.conditions?.map((one) => [one.type, one.status]),
    [
      ["PodReadyToStartContainers", "True"],
      ["Initialized", "True"],
      ["ContainersReady", "True"],
      ["Ready", "True"],
    ],
  );
  const [one] = made.containerStatuses ?? [];
  assert.deepEqual(one?.state, { running: { startedAt: "2026-01-02T03:04:05Z" } });
  assert.equal(one?.containerID, containerIdOf(podWith(), running));
  assert.ok(one?.ready && one.started);
});

test("a pod that waits for its container is pending and says why", () => {
  const made = status({
    containers: [container({ waiting: { reason: "ErrImagePull", message: "no such image" } })],
    podIP: "",
    isSandboxReady: false,
  });
  assert.equal(made.phase, "Pending");
  assert.equal(made.podIP, undefined);
  assert.deepEqual(made.containerStatuses?.[0]?.state, {
    waiting: { reason: "ErrImagePull", message: "no such image" },
  });
  assert.match(conditionOf(made, "ContainersReady")?.message ?? "", /unready status: \[main\]/);
});

test("in its back-off a container waits, and the attempt that ended is its last state", () => {
  const made = status({
    containers: [container({ current: ended(3), restartCount: 2, waiting: { reason: "CrashLoopBackOff" } })],
  });
  const [one] = made.containerStatuses ?? [];
  assert.equal(made.phase, "Running");
  assert.equal(one?.state?.waiting?.reason, "CrashLoopBackOff");
  assert.equal(one?.lastState?.terminated?.exitCode, 3);
  assert.equal(one?.restartCount, 2);
  assert.equal(one?.ready, false);
});

test("after a restart the attempt before is the last state", () => {
  const second = { id: "c0-1", vm: 1, startedMicros: micros };
  const made = status({ containers: [container({ current: second, previous: ended(137, "OOMKilled") })] });
  assert.equal(made.containerStatuses?.[0]?.lastState?.terminated?.reason, "OOMKilled");
  assert.ok(made.containerStatuses?.[0]?.state?.running);
});

test("a pod is over when it is said to be: succeeded if every container was", () => {
  const over = (exitCode: number): PodStatus =>
    status({ containers: [container({ current: ended(exitCode) })], isOver: true, isSandboxReady: false });
  assert.equal(over(0).phase, "Succeeded");
  assert.equal(conditionOf(over(0), "Ready")?.reason, "PodCompleted");
  assert.equal(over(2).phase, "Failed");
  assert.equal(conditionOf(over(2), "Ready")?.reason, "PodFailed");
  assert.equal(over(2).containerStatuses?.[0]?.state?.terminated?.exitCode, 2);
});

test("a pod with a failure of its own has failed once nothing of it runs, with its reason", () => {
  const failure = { reason: "DeadlineExceeded", message: "too long" };
  const ending = status({ failure });
  assert.deepEqual([ending.phase, ending.reason], ["Running", "DeadlineExceeded"]);
  const made = status({ failure, isOver: true });
  assert.deepEqual([made.phase, made.reason, made.message], ["Failed", "DeadlineExceeded", "too long"]);
});

test("init containers are told apart; a sidecar is ready while it runs", () => {
  const sidecar = containerWith({ name: "proxy", restartPolicy: "Always" });
  const made = status({
    containers: [
      container({ isInit: true, container: containerWith({ name: "setup" }), current: ended(0) }),
      container({ isInit: true, container: sidecar, current: running }),
      container({ waiting: { reason: "PodInitializing" } }),
    ],
  });
  assert.deepEqual(
    made.initContainerStatuses?.map((one) => [one.name, one.ready]),
    [
      ["setup", true],
      ["proxy", true],
    ],
  );
  assert.equal(made.phase, "Pending");
  const failed = status({
    containers: [
      container({ isInit: true, container: containerWith({ name: "setup" }), current: ended(1) }),
      container({ waiting: { reason: "PodInitializing" } }),
    ],
    isOver: true,
  });
  assert.equal(failed.phase, "Failed");
  assert.match(conditionOf(failed, "Initialized")?.message ?? "", /\[setup\]/);
});

test("what others wrote into the status stays, and transitions keep their time", () => {
  const known: PodStatus = {
    qosClass: "Burstable",
    conditions: [
      { type: "PodScheduled", status: "True", lastTransitionTime: "2025-01-01T00:00:00Z" },
      { type: "Ready", status: "True", lastTransitionTime: "2025-01-01T00:00:01Z" },
      { type: "ContainersReady", status: "False", lastTransitionTime: "2025-01-01T00:00:01Z" },
    ],
  };
  const made = status({}, known);
  assert.equal(made.qosClass, "Burstable");
  assert.equal(conditionOf(made, "PodScheduled")?.status, "True");
  assert.equal(conditionOf(made, "Ready")?.lastTransitionTime, "2025-01-01T00:00:01Z");
  assert.equal(conditionOf(made, "ContainersReady")?.lastTransitionTime, "2026-01-02T03:04:05Z");
});

test("a paused pod runs but is not ready, and says so until it goes on", () => {
  const sidecar = container({ container: containerWith({ name: "helper", restartPolicy: "Always" }), isInit: true });
  const containers = [{ ...sidecar, current: running }, container({ current: running })];
  const paused = status({ isPaused: true, containers });
  assert.equal(paused.phase, "Running");
  assert.deepEqual([paused.containerStatuses?.[0]?.ready, paused.containerStatuses?.[0]?.started], [false, true]);
  assert.ok(paused.containerStatuses?.[0]?.state?.running);
  assert.deepEqual(conditionOf(paused, "isopod.dev/Paused")?.status, "True");
  const ready = conditionOf(paused, "Ready");
  assert.deepEqual([ready?.status, ready?.reason], ["False", "Paused"]);
  assert.equal(conditionOf(paused, "Initialized")?.status, "True");
  const resumed = status({ containers }, paused);
  assert.equal(conditionOf(resumed, "Ready")?.status, "True");
  assert.equal(conditionOf(resumed, "isopod.dev/Paused")?.status, "False");
  assert.equal(conditionOf(status(), "isopod.dev/Paused"), undefined);
});

test("a pause that fails is told with what the pod is all the same, until the request is taken back", () => {
  for (const isPaused of [false, true]) {
    const made = status({ isPaused, pauseFailure: "the monitor does not answer" });
    const { reason, message, ...condition } = conditionOf(made, "isopod.dev/Paused") ?? { status: "" };
    assert.equal(condition.status, isPaused ? "True" : "False");
    assert.deepEqual([reason, message], ["PauseFailed", "the monitor does not answer"]);
    const later = conditionOf(status({ isPaused }, made), "isopod.dev/Paused");
    assert.deepEqual([later?.status, later?.reason, later?.message], [condition.status, undefined, undefined]);
  }
});
